import { mkdirSync, realpathSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { narrow, placeOf } from "../../src/jobs/base-dir.js";
import { temporaryDirectory } from "../support.js";

describe("where relative paths begin", () => {
  test("without --root: the client's only root, else the working directory", () => {
    const config = { roots: [], cwd: "/cwd" };
    expect(placeOf(config, null, "p")).toEqual({ baseDir: "/cwd", roots: null, principal: "p" });
    expect(placeOf(config, ["/project"], null)).toMatchObject({ baseDir: "/project", roots: null });
    expect(placeOf(config, ["/a", "/b"], null)).toMatchObject({ baseDir: "/cwd", roots: null });
  });

  test("with --root: the first one, and nothing outside of them", () => {
    const config = { roots: ["/a", "/b"], cwd: "/cwd" };
    expect(placeOf(config, null, null)).toMatchObject({ baseDir: "/a", roots: ["/a", "/b"] });
  });

  test("a client's roots narrow --root", () => {
    const home = realpathSync(temporaryDirectory());
    const [wide, deep, other] = [join(home, "wide"), join(home, "wide/deep"), join(home, "other")];
    for (const path of [deep, other]) mkdirSync(path, { recursive: true });
    const config = { roots: [wide], cwd: "/cwd" };
    expect(placeOf(config, [deep], null)).toMatchObject({ baseDir: deep, roots: [deep] });
    expect(placeOf(config, [home], null)).toMatchObject({ baseDir: wide, roots: [wide] });
    expect(placeOf(config, [other], null)).toMatchObject({ roots: [] });
  });

  test("a link cannot widen them", () => {
    const home = realpathSync(temporaryDirectory());
    mkdirSync(join(home, "root"));
    mkdirSync(join(home, "secret"));
    symlinkSync(join(home, "secret"), join(home, "root/link"));
    const config = { roots: [join(home, "root")], cwd: "/cwd" };
    expect(placeOf(config, [join(home, "root/link")], null).roots).toEqual([]);
  });
});

test("narrowing compares whole names", () => {
  expect(narrow(["/data"], ["/database"])).toEqual([]);
  expect(narrow(["/"], ["/x"])).toEqual(["/x"]);
  expect(narrow(["/a", "/a/b"], ["/a/b/c", "/a"])).toEqual(["/a/b/c", "/a", "/a/b"]);
});
