import type { Action } from "../contract/action.js";
import { evaluate } from "./evaluate.js";
import { fineTune } from "./fine-tune.js";
import { predict } from "./predict.js";
import { resume } from "./resume.js";
import { train } from "./train.js";

/** Every action that works, in the order in which clients list them. */
export const ACTIONS: readonly Action[] = [train, fineTune, resume, evaluate, predict];
