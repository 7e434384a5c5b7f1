import { z } from "zod";
import { defineTool } from "../contract/action.js";

export const environment = defineTool({
  name: "environment",
  title: "Show the Python environments",
  description:
    "Pythons and environments found, which one a job would use and why, each framework's version or the command that installs it, GPUs.",
  input: z.strictObject({
    pythonEnv: z
      .string()
      .min(1)
      .optional()
      .describe(
        "Look at this one only: an interpreter, an environment's directory, or conda:NAME.",
      ),
  }),
  lean: { pythonEnv: "" },
});
