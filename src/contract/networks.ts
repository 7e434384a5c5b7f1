import { z } from "zod";
import { columnRoles, path } from "./shared.js";

/** Config keys of trainings by epochs; what a key means is written here once. */

const name = (words: string) => z.string().min(1).optional().describe(words);
const named = (words: string) => z.record(z.string(), z.unknown()).optional().describe(words);

export const epochTraining = {
  epochs: z.int().min(1).max(1_000_000).optional().describe("Passes over the training data."),
  batchSize: z.int().min(1).optional().describe("Rows in a training step."),
  learningRate: z
    .number()
    .positive()
    .optional()
    .describe("Learning rate; the optimizer's own default where left out."),
  optimizer: name("Optimizer by the library's name: adam (default), adamw, sgd, rmsprop, …"),
  optimizerArgs: named("Further arguments of the optimizer, by the library's names."),
  momentum: z.number().min(0).lt(1).optional().describe("Momentum of sgd or rmsprop."),
  weightDecay: z.number().min(0).optional().describe("Weight decay of the optimizer."),
  lossFunction: name(
    "Loss by the library's name: cross_entropy (default for classes), mse (default for numbers), bce_with_logits, …",
  ),
  lossArgs: named("Further arguments of the loss, by the library's names."),
  classWeights: z
    .union([z.literal("balanced"), z.record(z.string(), z.number().min(0))])
    .optional()
    .describe("Weight of each class in the loss by its label, or balanced: n / (classes × count)."),
  labelSmoothing: z.number().min(0).lt(1).optional().describe("Label smoothing of cross_entropy."),
  scheduler: name(
    "Learning-rate schedule by the library's name: cosine_annealing (over all epochs), step_lr (a third of the epochs, 0.1), one_cycle, reduce_on_plateau, …",
  ),
  schedulerArgs: named("Further arguments of the scheduler, by the library's names."),
  schedulerInterval: z
    .enum(["epoch", "step"])
    .optional()
    .describe("When the schedule moves on; each epoch, and for one_cycle and cyclic each step."),
  warmupEpochs: z.int().min(1).optional().describe("Epochs in which the rate rises from near 0."),
  warmupSteps: z.int().min(1).optional().describe("Likewise in optimizer steps."),
  gradientClipping: z.number().positive().optional().describe("Largest norm of the gradients."),
  gradientAccumulation: z
    .int()
    .min(1)
    .optional()
    .describe("Batches whose gradients make one step (default 1)."),
  mixedPrecision: z
    .enum(["off", "fp16", "bf16", "auto"])
    .optional()
    .describe(
      "Types of computing: off (fp32, default), bf16, fp16 (GPU), or what suits the device.",
    ),
  gradientCheckpointing: z
    .union([z.boolean(), z.array(z.string().min(1)).min(1)])
    .optional()
    .describe(
      "Keep no activations of repeated blocks (true) or of the modules named here: less memory, more time.",
    ),
  compile: z.boolean().optional().describe("Compile the model (torch.compile)."),
  channelsLast: z.boolean().optional().describe("Images with their channels last in memory."),
  deterministic: z
    .boolean()
    .optional()
    .describe("Only deterministic algorithms, also on a GPU; slower there."),
  checkpointSteps: z
    .int()
    .min(1)
    .optional()
    .describe("Also a checkpoint every so many optimizer steps, within epochs."),
  keepCheckpoints: z.int().min(1).optional().describe("How many checkpoints are kept (default 3)."),
  tensorboard: z
    .boolean()
    .optional()
    .describe("Write TensorBoard event files (default: where tensorboard is installed)."),
};

/** How samples that are no table are read, and tables for networks. */
export const samples = {
  imageSize: z
    .union([z.int().min(1), z.array(z.int().min(1)).min(2).max(2)])
    .optional()
    .describe("Side, or [height, width], that images are resized to; needed where they differ."),
  colorMode: z.enum(["rgb", "grayscale"]).optional().describe("Colours of images (default rgb)."),
  normalize: z
    .union([
      z.enum(["unit", "raw", "imagenet"]),
      z.strictObject({ mean: z.array(z.number()).min(1), std: z.array(z.number()).min(1) }),
    ])
    .optional()
    .describe(
      "Pixels: unit (0 … 1, the default), raw (0 … 255), imagenet, or {mean, std} of 0 … 1.",
    ),
  pathColumn: z
    .string()
    .min(1)
    .optional()
    .describe("Column of a table that names image files, seen from the table's directory."),
  inputKey: z.string().min(1).optional().describe("Array of inputs in an NPZ file."),
  inputDtype: z
    .enum(["float32", "int64"])
    .optional()
    .describe("Type that the inputs of an array get."),
  targetData: path("NPY file with the targets of an NPY file of inputs.").optional(),
  numWorkers: z
    .int()
    .min(0)
    .max(256)
    .optional()
    .describe("Processes that read data ahead (default 0; for image folders the job's threads)."),
  augment: z
    .array(z.union([z.string().min(1), z.record(z.string(), z.unknown())]))
    .min(1)
    .optional()
    .describe(
      "Random changes of training images, each a name or {type, …arguments}: horizontal-flip, vertical-flip, rotate, crop, affine, colour, brightness, contrast, saturation, noise, blur, erasing; of batches mixup, cutmix.",
    ),
  stratify: z
    .boolean()
    .optional()
    .describe("validationSplit keeps the shares of the classes (default false)."),
};

export const textColumn = z
  .string()
  .min(1)
  .optional()
  .describe("Column of texts (or of lists of words); the only one of a table where left out.");

/** Texts, for models that read them. */
export const texts = {
  textColumn,
  maxLength: z
    .int()
    .min(3)
    .optional()
    .describe("Pieces of words that are kept of a text (default: the model's limit, at most 512)."),
};

/** What a file of weights alone does not say: its model, and how its data are read. */
export const bareWeights = {
  modelScript: path(
    "Python file of the model, for weights that came without a description.",
  ).optional(),
  modelClass: name("Its class or function; the only candidate, or build_model, where left out."),
  modelArgs: named("Arguments of modelClass."),
  lossFunction: name(
    "Loss of its training: how the outputs are read; told by them where left out.",
  ),
  featureColumns: columnRoles.featureColumns,
  imageSize: samples.imageSize,
  colorMode: samples.colorMode,
  normalize: samples.normalize,
};
