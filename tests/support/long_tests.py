"""Which tests run only where NERF_LONG_TESTS is set, since they take long and repeat others.

Most are another combination of a law that the short form tests as well: another backend of what
does not depend on the backend, another size, another victim. Whole tests are here only where they
train for minutes or start several processes. CI runs the long form once a week.
"""

import re

LONG = (
    r"test_interpolation\.py::test_both_gradients.*\[(1|40)-",
    r"test_interpolation\.py::test_every_form.*\[a grid\]",
    r"test_contraction\.py::test_planes_are_extrapolated.*\[empty\]",
    r"test_contraction\.py::test_(density_counts|gradients_are_finite).*\[paper\]",
    r"test_contraction\.py::test_a_white_background.*\[0\.0-",
    r"test_interpolation\.py::test_both_gradients.*\[3000-(a grid|four lines)\]",
    r"test_main_train\.py::test_a_(collapse|restart).*\[nnx\]",
    r"test_main_train\.py::test_(noresume|twice_half|training_begins|a_run_resumes).*\[nnx\]",
    r"test_parallel\.py::test_a_step_is_the_same.*\[(flax-(1|12)|haiku-(1|12)|nnx)",
    r"test_parallel\.py::test_whether_moments.*\[(flax-False|haiku-False|nnx)",
    r"test_parallel\.py::test_steps_in_one_call.*\[nnx\]",
    r"test_lowering\.py::test_the_program.*\[(haiku|nnx).*-crop\]",
    r"test_goldens\.py::test_(images|the_other_backends).*\[(\w+-)?(0|20|32)[-\]]",
    r"test_imports\.py::test_a_whole_run.*\[(flax|nnx)-evaluate\]",
    r"test_main_process\.py::test_a_full_disk.*\[100-",
    r"test_main_process\.py::test_a_signal_saves.*\[15\]",
    r"test_main_captures\.py::test_every_field.*\[mlp(, preset quick)?-contracted\]",
    r"test_images\.py::test_an_image_is_its_rays.*\[(haiku|nnx)-(contracted|ndc)\]",
    r"test_wall\.py::test_training_finds_the_wall\[nnx",
    r"test_wall\.py::test_a_step_does_not_depend_on_the_microbatches\[(16-nnx|256-flax)",
    r"test_convert\.py::test_ten_steps.*\[paper\]",
    r"test_export_truth\.py::test_exact_depth.*\[room\]",
    r"test_loop\.py::test_several_steps_a_call.*\[(17|None)-(4|5|6|8|9|11)\]",
    r"test_renderers\.py::test_a_method_that_is_asked_for.*\[exact\]",
    r"test_main_quick\.py::test_what_takes_hours.*\[flags[12]",
    r"test_depth_loss\.py::test_microbatches.*\[notebook\]",
    r"test_depth_loss\.py::test_without_the_setting.*\[notebook\]",
    r"test_depth_loss\.py::test_every_implementation.*\[(haiku|nnx)-(notebook|paper)\]",
    r"test_depth_loss\.py::test_the_gradient_is_that.*\[paper",
    r"test_pose_corrections\.py::test_the_gradient_of_tangents.*\[world-16",
    r"test_step\.py::test_the_gradient_of_a_field_with_a_table.*\[(haiku|nnx)\]",
    r"test_step\.py::test_(a_noisy_networks_gradient|density_noise).*\[(haiku|nnx)\]",
    r"test_precision\.py::test_training_in_bfloat16.*\[(flax-paper|(haiku|nnx)-(paper|quick))\]",
    r"test_wall\.py::test_a_step_does_not_depend_on_the_microbatches\[256-(haiku|nnx)",
    r"test_rays\.py::test_rays_do_not_depend.*\[(haiku|nnx)-paper\]",
    r"test_learns\.py::test_a_few_steps.*\[(flax-(notebook|paper)|(haiku|nnx)-(paper|quick))\]",
    r"test_learns\.py::test_the_step_is_compiled_once.*\[(haiku|nnx)-(paper|quick)\]",
    r"test_checkpoints\.py::test_three_steps_and_three.*\[(haiku|nnx)-paper\]",
    r"test_resume\.py::test_there_and_back.*\[(haiku|nnx)-paper\]",
    r"test_kill\.py::test_a_run_that_is_killed_again.*\[(haiku|nnx)\]",
    r"test_corrected_poses\.py::test_every_backend.*\[haiku\]",
    r"test_collapse\.py::test_it_runs\[(haiku|nnx)\]",
    r"test_cluster\.py::test_a_job_of_slurm",
    r"test_mesh_error\.py::test_the_mesh_of_a_trained_field",
    r"test_scaling\.py::test_processes_are_measured.*\[counts1",
    r"test_several_processes\.py::test_losses.*\[(haiku|nnx|flax-counts2|flax-counts0-planes)",
    r"test_several_processes\.py::test_a_killed.*\[1\]",
    r"test_several_processes\.py::test_a_signal_to_one",
    r"test_several_processes\.py::test_a_process_that_cannot_start",
    r"test_resume\.py::test_there_and_back.*\[(haiku-quick|nnx-(notebook|quick)|flax-(notebook|quick))\]",
    r"test_resume\.py::test_training_resumes.*\[(haiku|nnx)-(paper|quick)\]",
    r"test_resume\.py::test_the_moments.*\[(haiku|nnx)-(paper|quick)\]",
    r"test_version_0_1_0\.py::test_training_resumes.*\[(flax-mlp-(paper|quick)|haiku-mlp-quick)\]",
    r"test_main\.py::test_a_training_run_leaves.*\[nnx\]",
    r"test_imports\.py::test_a_whole_run.*\[(haiku|nnx)-train\]",
    r"test_console\.py::test_commands_print.*\[nerf\.(inspect-(cp1252|utf)|main-utf)",
    r"test_step\.py::test_a_rays_colour.*\[paper-(contracted|world)\]",
    r"test_convert\.py::test_ten_steps.*\[quick\]",
    r"test_batch_source\.py::test_images_on_the_host_give.*\[(calls0-4|calls1-3)\]",
    r"test_main_captures\.py::test_every_field.*\[mlp-world\]",
    r"test_loop\.py::test_no_more_steps.*\[[3567]\]",
    r"test_loop\.py::test_several_steps_a_call.*\[(17|None)-3\]",
    r"test_view_cache\.py::test_a_damaged_file.*\[(hide|exchange)\]",
    r"test_checkpoints\.py::test_a_damaged_state.*\[cut_to_nothing\]",
    r"test_large_images\.py::test_48_megapixels.*\[png-RGB",
)
_LONG = re.compile("|".join(LONG))


def is_long(nodeid: str) -> bool:
    """Whether the test of this name is one of them."""
    return _LONG.search(nodeid) is not None
