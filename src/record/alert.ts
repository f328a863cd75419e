import { DecodeError } from '../errors/errors.ts';

/** `AlertLevel level; AlertDescription description;`, RFC 8446 §6. Never fragmented (§5.1). */
export function parseAlert(content: Uint8Array): { readonly level: number; readonly description: number } {
  const [level, description] = content;
  if (content.length !== 2 || level === undefined || description === undefined) {
    throw new DecodeError(`Alert: ${content.length} bytes instead of 2`);
  }
  return { level, description };
}
