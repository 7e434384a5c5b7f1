import { z } from "zod";
import { defineTool } from "../contract/action.js";
import { reading } from "../contract/shared.js";

export const describe = defineTool({
  name: "describe",
  title: "Describe data, a model or an action",
  description:
    "Of a table: rows, columns, types, missing values, class counts. Of a folder of images: classes, sizes, unreadable files. Of NPZ and NPY arrays: shapes, types. Of a model path: framework, features, classes, versions. Of an action's name: its full schema, rarer config keys included. Call it before the first train on unknown data.",
  input: z.strictObject({
    path: z
      .string()
      .min(1)
      .optional()
      .describe("A table, a folder of images, an array file, or a model."),
    action: z.string().min(1).optional().describe("Name of an action, such as train."),
    pythonEnv: z.string().min(1).optional().describe("Python to read the data with."),
    ...reading,
  }),
  lean: { path: "data or model", action: "e.g. train" },
});
