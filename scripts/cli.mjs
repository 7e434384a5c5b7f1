// `npm run demo`, `npm run setup -- …`: the binary of this checkout, made first where it is missing.
import { binary, ensureBuild, ensurePackages, exitCode, main } from "./bootstrap.mjs";

await main(async () => {
  await ensurePackages();
  await ensureBuild();
  return exitCode(process.execPath, [binary, ...process.argv.slice(2)], { cwd: process.cwd() });
});
