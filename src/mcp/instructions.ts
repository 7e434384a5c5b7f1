/** What a client tells its model about this server: what to call first, how long jobs work, where files go. */
export const INSTRUCTIONS = `ML Executor runs machine-learning work on this machine.

First: describe {"path": …} on unknown data (columns, types, missing values); environment if a framework might be missing. Then train → evaluate → predict; a model that train saved needs only its modelPath.

Calls: framework and config hold the work; relative paths are taken from the project's directory. Parameters named under "Also:" are explained by describe {"action": …}.

Jobs: every action is a durable job. A call answers with {"executionReport"} when the job ends within waitSeconds (25), else with {"job": {id, progress, eta, next}}: send its next call. Jobs outlive calls and servers; only job-cancel, or cancelling the call, stops one.

Files: models, logs, plots go to outputDir (else to the job's own directory); artifacts in the report names them.

Resources: ml-executor://jobs/{id} and its /report, /metrics, /logs/stderr, /artifacts/{name}.

Errors: {"error": {type, message, solution, nextCall}}. nextCall, where there is one, is your call mended; else do what solution says. warnings[] holds what was done that you may not expect.`;
