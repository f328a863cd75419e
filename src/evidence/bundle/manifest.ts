import { escapeHtml } from '../report/html.ts';
import { mediaType } from './layout.ts';

/** What is in the container, in the form of OpenDocument (ETSI EN 319 162-1 §A.2). */
export function openDocumentManifest(containerType: string, names: readonly string[]): string {
  const entry = (path: string, type: string): string =>
    ` <manifest:file-entry manifest:full-path="${escapeHtml(path)}" manifest:media-type="${escapeHtml(type)}"/>\n`;
  return [
    '<?xml version="1.0" encoding="UTF-8"?>\n',
    '<manifest:manifest xmlns:manifest="urn:oasis:names:tc:opendocument:xmlns:manifest:1.0" manifest:version="1.2">\n',
    entry('/', containerType),
    ...names.map((name) => entry(name, mediaType(name))),
    '</manifest:manifest>\n',
  ].join('');
}

/** ASiCManifest of ETSI EN 319 162-1 §A.4: what a time-stamp token over it dates. */
export function asicManifest(
  timestampFile: string,
  files: readonly { readonly name: string; readonly digest: Uint8Array }[],
): string {
  const reference = ({ name, digest }: { name: string; digest: Uint8Array }): string =>
    ` <asic:DataObjectReference URI="${escapeHtml(name)}" MimeType="${escapeHtml(mediaType(name))}">` +
    '<ds:DigestMethod Algorithm="http://www.w3.org/2001/04/xmlenc#sha256"/>' +
    `<ds:DigestValue>${Buffer.from(digest).toString('base64')}</ds:DigestValue></asic:DataObjectReference>\n`;
  return [
    '<?xml version="1.0" encoding="UTF-8"?>\n',
    '<asic:ASiCManifest xmlns:asic="http://uri.etsi.org/02918/v1.2.1#" xmlns:ds="http://www.w3.org/2000/09/xmldsig#">\n',
    ` <asic:SigReference URI="${timestampFile}" MimeType="${mediaType(timestampFile)}"/>\n`,
    ...files.map(reference),
    '</asic:ASiCManifest>\n',
  ].join('');
}
