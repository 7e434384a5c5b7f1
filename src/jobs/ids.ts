import { customAlphabet } from "nanoid";

// As nanoid's own, without "-" and "_": an id may begin a command line's argument.
export const newId = customAlphabet(
  "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
  21,
);

/** Whether a text may be a job's id: it then names nothing but a directory of jobs. */
export const isId = (text: string): boolean => /^[A-Za-z0-9_-]{1,64}$/.test(text);
