/**
 * V8 keeps the text of a file for as long as its functions, with two bytes for each character if one of them is beyond
 * Latin-1. esbuild escapes those in strings but leaves them in the comments that it keeps, such as those of class members.
 *
 * @param {string} code that esbuild wrote
 */
export function inLatin1(code) {
  return code.replaceAll('…', '...').replace(/[^\0-\xff]/gu, '-');
}
