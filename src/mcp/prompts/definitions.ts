import type { GetPromptResult } from "@modelcontextprotocol/sdk/types.js";
import type { Source } from "../completions/sources.js";
import type { Session } from "../session.js";
import { compareJobs } from "./compare-jobs.js";
import { diagnoseJob } from "./diagnose-job.js";
import { evaluateModel, trainAndEvaluate } from "./model-calls.js";

export type Arguments = Readonly<Record<string, string>>;

interface Argument {
  readonly name: string;
  readonly title: string;
  readonly description: string;
  readonly required?: boolean;
  /** Where completions of it come from; a list completes its last item. */
  readonly source?: Source;
}

export interface Prompt {
  readonly name: string;
  readonly title: string;
  readonly description: string;
  readonly arguments: readonly Argument[];
  readonly messages: (
    args: Arguments,
    session: Session,
  ) => GetPromptResult["messages"] | Promise<GetPromptResult["messages"]>;
}

const FRAMEWORK: Argument = {
  name: "framework",
  title: "Framework",
  description: "Left out: found from the algorithm's name, or from the model.",
  source: "framework",
};
const METRICS: Argument = {
  name: "metrics",
  title: "Metrics",
  description: "Names, separated by commas. Left out: the usual ones of the task.",
  source: "metrics",
};

/** They assemble calls from what the person has decided; they choose nothing. */
export const PROMPTS: readonly Prompt[] = [
  {
    name: "train-and-evaluate",
    title: "Train a model and evaluate it",
    description:
      "The calls that train the algorithm you name and evaluate it on the data you name.",
    arguments: [
      {
        name: "dataPath",
        title: "Training data",
        description: "Table to train on.",
        required: true,
        source: "path",
      },
      {
        name: "targetColumn",
        title: "Target column",
        description: "Its column to predict.",
        required: true,
      },
      {
        name: "algorithm",
        title: "Algorithm",
        description: "An estimator's class, as the framework names it.",
        required: true,
        source: "algorithm",
      },
      {
        name: "testData",
        title: "Test data",
        description: "Rows to evaluate on, which the training does not see.",
        source: "path",
      },
      FRAMEWORK,
      METRICS,
      {
        name: "outputDir",
        title: "Output directory",
        description: "For model, logs and plots. Left out: the job's own directory.",
        source: "path",
      },
    ],
    messages: trainAndEvaluate,
  },
  {
    name: "evaluate-model",
    title: "Evaluate a saved model",
    description: "The call that evaluates a model that was saved before.",
    arguments: [
      {
        name: "modelPath",
        title: "Model",
        description: "File or directory that a training saved.",
        required: true,
        source: "model",
      },
      {
        name: "dataPath",
        title: "Data to evaluate on",
        description: "Table with the target in it.",
        required: true,
        source: "path",
      },
      METRICS,
    ],
    messages: evaluateModel,
  },
  {
    name: "diagnose-job",
    title: "See why a job ended as it did",
    description: "The job's error and last output, and the call that mends or resumes it.",
    arguments: [
      {
        name: "jobId",
        title: "Job",
        description: "Its id, as the call answered it or job-list shows it.",
        required: true,
        source: "job",
      },
    ],
    messages: diagnoseJob,
  },
  {
    name: "compare-jobs",
    title: "Compare jobs",
    description: "A table of the metrics that jobs reported.",
    arguments: [
      {
        name: "jobIds",
        title: "Jobs",
        description: "Two to twenty ids, separated by commas.",
        required: true,
        source: "jobs",
      },
    ],
    messages: compareJobs,
  },
];
