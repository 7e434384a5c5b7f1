import type { CommandName } from "../config.js";

const COMMON = `  --log-level LEVEL   fatal, error, warn, info (default), debug, trace or silent; on stderr
  -h, --help          this text
  -V, --version       the version`;

const ROOT = `  --root DIR          take relative paths from DIR and refuse paths outside it; may be repeated`;

const SLOTS = `  --slots N           jobs that run on the CPU at once (default: cores / 4, between 1 and 4)`;

const MEMORY = `  --memory-limit SIZE what a job may take, such as 4GB, or a share of what is left when it starts
                      (default 90%)`;

const GENERAL = `ml-executor: machine-learning work for agents, as durable jobs with structured reports

usage: ml-executor [COMMAND] [OPTIONS]

  serve               serve MCP over stdin and stdout (the default), or over HTTP with --http
  run REQUEST.json    run one request, print its report, exit with its exit code
  jobs                list, show, follow, cancel jobs; read what they printed
  doctor              show Pythons, frameworks and GPUs, and which a job would use
  setup               make or extend the managed Python environment
  demo                train, evaluate and predict on a data set that ships with scikit-learn

'ml-executor COMMAND --help' says more of each.

environment variables
  ML_EXECUTOR_HOME          state directory: jobs, locks, logs
  ML_EXECUTOR_CHECKPOINT_SECONDS
                            least seconds between the checkpoints of a training (default 60)
  ML_EXECUTOR_CACHE         cache directory: the managed environment
  ML_EXECUTOR_PYTHON        the interpreter or environment that jobs run in
  ML_EXECUTOR_START_METHOD  fork (default on Linux) or spawn
  ML_EXECUTOR_TOKEN         as --token of serve --http; several with commas between
  ML_EXECUTOR_LOG_LEVEL     as --log-level`;

const HELP: Record<CommandName, string> = {
  serve: `usage: ml-executor [serve] [OPTIONS]
       ml-executor serve --http [OPTIONS]

Serves MCP over stdin and stdout until stdin ends, or over HTTP until it is interrupted; jobs go on after
that.

${ROOT}
  --wait SECONDS      how long a call waits for its job (0 to 50, default 25)
${SLOTS}
${MEMORY}
${COMMON}

with --http: Streamable HTTP at /mcp, and for older clients HTTP+SSE at /sse
  --host ADDRESS      listen there (default 127.0.0.1); an address that others reach demands a token
  --port N            listen on this port (default 8765; 0: a free one)
  --token TOKEN       admit only those who send it as bearer token; may be repeated: each sees its own jobs
                      alone. It shows in the list of processes; ML_EXECUTOR_TOKEN does not
  --allowed-host HOST[:PORT]    a name that requests may come under, as through a proxy; may be repeated
  --allowed-origin ORIGIN       a site whose pages may connect; may be repeated
  --session-timeout SECONDS     end sessions that nobody uses for so long (default 1800)`,
  run: `usage: ml-executor run REQUEST.json|- [OPTIONS]

Runs one request, {"action": …, "framework": …, "config": {…}, …}, from a file or from stdin. Shows
progress on stderr, prints the report as JSON on stdout and exits with its exit code. Ctrl-C cancels
the job; a second one leaves it to end by itself.

${ROOT}
${SLOTS}
${MEMORY}
${COMMON}`,
  jobs: `usage: ml-executor jobs [list] [-n N]
       ml-executor jobs show|follow|cancel ID
       ml-executor jobs logs ID [--stderr] [--tail KIB]

The jobs of every server and command on this machine. The beginning of an ID is enough.

  -n, --limit N       list: at most so many (default 20)
  --stderr            logs: what was printed on stderr instead of stdout
  --tail KIB          logs: the last so many KiB (default 64)
  --json              print JSON
${COMMON}`,
  doctor: `usage: ml-executor doctor [--json]

Shows interpreters and environments (venv, conda, uv, pyenv), packages, each framework's version or the
command that installs it, GPUs, and which of them a job would use.

  --json              print JSON
${COMMON}`,
  setup: `usage: ml-executor setup [OPTIONS]

Makes or extends the managed environment: a venv with pinned versions in the cache directory. It may be
interrupted, and run twice at once.

  --frameworks LIST   names with commas between, such as sklearn,xgboost (default: all)
  --python PATH       the Python that it is made from
  --dev               also what the project's own tests need
${COMMON}`,
  demo: `usage: ml-executor demo

Sets up what it needs, trains a model on a real data set, evaluates it, predicts with it, and shows the
reports and where the plots are.

${COMMON}`,
};

/** The help of a command; of the whole program where it is null. */
export function helpText(command: CommandName | null): string {
  return command === null ? GENERAL : HELP[command];
}
