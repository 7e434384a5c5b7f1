import type { GetPromptResult } from "@modelcontextprotocol/sdk/types.js";
import { validate } from "../../contract/index.js";
import type { Arguments } from "./definitions.js";
import { callBlock, listed, userText } from "./words.js";

/** Stands for a path that only the training's report knows. */
const TRAINED_MODEL = "<artifacts.model of the training's report>";

/** @throws ExecutorError where the assembled call would be refused */
export function trainAndEvaluate(args: Arguments): GetPromptResult["messages"] {
  const { dataPath, targetColumn, algorithm, testData, framework, outputDir } = args;
  const train = {
    ...(framework && { framework }),
    config: { algorithm, dataPath, targetColumn },
    ...(outputDir && { outputDir }),
  };
  checked("train", train);
  const steps = [
    "Do these ML Executor calls, in this order, as they are:",
    `1. ${callBlock("describe", { path: dataPath })}\nCheck that '${targetColumn}' is one of the columns.`,
    `2. ${callBlock("train", train)}\nIf it answers {"job": …}, send its next call until it answers a report or an error. On an error with a nextCall, show me both before sending it.`,
    testData ? evaluation(TRAINED_MODEL, testData, args.metrics) : NO_TEST_DATA,
    "Then give me the reports' metrics, warnings and artifacts. Change neither algorithm nor data without asking me.",
  ];
  return [userText(steps.join("\n\n"))];
}

/** @throws ExecutorError where the assembled call would be refused */
export function evaluateModel(args: Arguments): GetPromptResult["messages"] {
  const { modelPath = "", dataPath = "" } = args;
  const call = evaluateCall(modelPath, dataPath, args.metrics);
  const steps = [
    `Do this ML Executor call as it is:\n\n${callBlock("evaluate", call)}`,
    'If it answers {"job": …}, send its next call until it answers a report or an error. Then give me the report\'s metrics, warnings and artifacts.',
  ];
  return [userText(steps.join("\n\n"))];
}

const NO_TEST_DATA =
  "3. I named no data to evaluate on. Ask me which rows to use; then call evaluate with the model's path and theirs.";

function evaluation(modelPath: string, dataPath: string, metrics: string | undefined): string {
  const call = evaluateCall(modelPath, dataPath, metrics);
  return `3. ${callBlock("evaluate", call)}\nmodelPath is the path that the report of step 2 gives.`;
}

function evaluateCall(modelPath: string, dataPath: string, metrics: string | undefined) {
  const names = listed(metrics);
  const call = { config: { modelPath, dataPath, ...(names.length > 0 && { metrics: names }) } };
  checked("evaluate", call);
  return call;
}

/** A prompt hands out no call that would be refused. */
function checked(tool: string, call: Record<string, unknown>): void {
  validate(tool, structuredClone(call));
}
