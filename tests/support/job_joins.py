"""One process of a job that JAX finds by its environment: it joins, and says what it has found.

python -m tests.support.job_joins [HOST:PORT]
"""

import sys

from nerf.runtime import exchange, processes


def main():
    print(exchange.join(processes.JobOptions(True, *sys.argv[1:2])))
    exchange.barrier()
    processes.cancel_exit_report()


if __name__ == "__main__":
    main()
