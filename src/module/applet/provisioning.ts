import { equalBytes } from '../../der/bytes.ts';
import { DerReader } from '../../der/reader.ts';
import { DecodeError } from '../../errors/errors.ts';
import { readChain, writeChain } from '../../handshake/session.ts';
import { Reader } from '../../wire/reader.ts';
import { Writer } from '../../wire/writer.ts';
import { Certificate } from '../../x509/certificate.ts';
import { makeCertificateRequest } from '../../x509/request.ts';
import type { Command } from '../apdu/command.ts';
import { Status } from '../apdu/status.ts';
import {
  ClientCertificate,
  IdentityRole,
  type KeyAlgorithm,
  KeyAlgorithmCode,
  ObjectTag,
  Permission,
  RequestTag,
} from '../protocol.ts';
import { TlvFields } from '../tlv.ts';
import { decodeUtf8 } from './open.ts';
import { type IdentityRecord, newIdentity, type PersistentState } from './persistent.ts';
import { listPsks, readPsk, withoutPsk, withPsk } from './psks.ts';
import { Refused } from './refused.ts';

/** Names of identities: text that fits a short APDU beside its object. */
const MAX_ALIAS = 64;
/** Certificates of one identity, and anchors; MAX_CHAINED_DATA bounds their bytes. */
const MAX_CERTIFICATES = 32;
const MAX_HOSTS = 32;

const ROLES = IdentityRole.client | IdentityRole.server;
const PERMISSIONS = Permission.masterSessionKey | Permission.trafficKeys | Permission.sign;

/**
 * A private key that is born in the module and never leaves it. P2: the algorithm. Data: the alias.
 * @returns SubjectPublicKeyInfo, DER
 * @throws Refused 6985 for an identity that has a key: remove it first
 */
export function generateKey(state: PersistentState, { p1, p2, data }: Command): Uint8Array {
  const [algorithm] = Object.entries(KeyAlgorithmCode).find(([, code]) => code === p2) ?? [];
  if (p1 !== 0 || algorithm === undefined) throw new Refused(Status.wrongParameters);
  const alias = readAlias(data);
  const identity = state.identity(alias) ?? newIdentity(alias);
  if (identity.privateKey !== undefined) throw new Refused(Status.wrongState);
  const privateKey = state.generateKey(algorithm as KeyAlgorithm);
  const changed = { ...identity, privateKey };
  const { spki } = state.key(changed);
  state.putIdentity(changed);
  return spki;
}

/** A PKCS#10 request (RFC 2986) for the key of an identity. @returns DER */
export function makeRequest(state: PersistentState, data: Uint8Array): Uint8Array {
  const fields = new TlvFields(data, 'certificate request', Object.values(RequestTag), [RequestTag.host]);
  const identity = find(state, readAlias(fields.get(RequestTag.alias) ?? NOTHING));
  const subject = fields.get(RequestTag.subject);
  if (subject === undefined) throw new DecodeError('certificate request: no subject');
  // A request is signed with the handshake's key: it must not be an oracle for anything but requests.
  const name = new DerReader(subject, 'subject');
  name.sequence();
  name.end();
  const hosts = fields.all(RequestTag.host).map((host) => decodeUtf8(host));
  if (hosts.length > MAX_HOSTS) throw new DecodeError(`certificate request: ${hosts.length} names`);
  const names = hosts.map((host) => {
    if (host === undefined) throw new DecodeError('certificate request: a name that is no text');
    return host;
  });
  const key = state.key(identity);
  return makeCertificateRequest({ subject, hosts: names }, key);
}

/** P1 P2: the tag. Data: `opaque alias<1..64>`, then the object. */
export function putData(state: PersistentState, { p1, p2, data }: Command): void {
  const r = new Reader(data, 'Put data');
  const alias = readAlias(r.vector(1, 1));
  const tag = (p1 << 8) | p2;
  if (tag === ObjectTag.remove) {
    r.end();
    find(state, alias);
    state.removeIdentity(alias);
    return;
  }
  const identity = state.identity(alias) ?? newIdentity(alias);
  const changed = withObject(state, identity, tag, r);
  r.end();
  state.putIdentity(changed);
}

/** P1 P2: the tag. Data: the alias. Keys are not among what can be asked for. */
export function getData(state: PersistentState, { p1, p2, data }: Command): Uint8Array {
  const tag = (p1 << 8) | p2;
  const identity = find(state, readAlias(data));
  switch (tag) {
    case ObjectTag.certificateChain:
      return chainBytes(identity.chain);
    case ObjectTag.trustAnchors:
      return chainBytes(identity.anchors);
    case ObjectTag.role:
      return Uint8Array.of(identity.roles);
    case ObjectTag.policy:
      return new Writer(32)
        .u8(identity.permissions)
        .u8(identity.clientCertificate)
        .vector(1, identity.nai)
        .finish();
    case ObjectTag.publicKey:
      return state.key(identity).spki;
    case ObjectTag.preSharedKey:
      return listPsks(identity.psks);
    default:
      throw new Refused(Status.wrongParameters);
  }
}

function withObject(
  state: PersistentState,
  identity: IdentityRecord,
  tag: number,
  r: Reader,
): IdentityRecord {
  switch (tag) {
    case ObjectTag.certificateChain:
      return { ...identity, chain: readOwnChain(state, identity, r) };
    case ObjectTag.trustAnchors:
      return { ...identity, anchors: readCertificates(r) };
    case ObjectTag.role: {
      const roles = r.u8();
      if (roles === 0 || (roles & ~ROLES) !== 0) throw new DecodeError(`Put data: role ${roles}`);
      return { ...identity, roles };
    }
    case ObjectTag.policy: {
      const [permissions, clientCertificate] = [r.u8(), r.u8()];
      if ((permissions & ~PERMISSIONS) !== 0 || clientCertificate > ClientCertificate.require) {
        throw new DecodeError('Put data: a policy of unknown meaning');
      }
      return { ...identity, permissions, clientCertificate, nai: new Uint8Array(r.vector(1)) };
    }
    case ObjectTag.privateKey: {
      if (identity.privateKey !== undefined) throw new Refused(Status.wrongState);
      const changed = { ...identity, privateKey: new Uint8Array(r.rest()) };
      state.key(changed);
      return changed;
    }
    case ObjectTag.preSharedKey:
      return { ...identity, psks: withPsk(identity.psks, readPsk(r)) };
    case ObjectTag.removePreSharedKey:
      return { ...identity, psks: withoutPsk(identity.psks, r.vector(1, 1)) };
    default:
      throw new Refused(Status.wrongParameters);
  }
}

/** The first certificate must be for the identity's key: nothing else could be shown with it. */
function readOwnChain(state: PersistentState, identity: IdentityRecord, r: Reader): readonly Uint8Array[] {
  const chain = readCertificates(r);
  const [leaf] = chain;
  if (leaf === undefined) throw new DecodeError('Put data: an empty chain');
  if (!equalBytes(Certificate.parse(leaf).spki, state.key(identity).spki)) {
    throw new DecodeError('Put data: the certificate is for another key');
  }
  return chain;
}

function readCertificates(r: Reader): readonly Uint8Array[] {
  const chain = readChain(r).map((der) => new Uint8Array(der));
  if (chain.length > MAX_CERTIFICATES) throw new DecodeError(`Put data: ${chain.length} certificates`);
  for (const der of chain) Certificate.parse(der).checkWellFormed();
  return chain;
}

function find(state: PersistentState, alias: string): IdentityRecord {
  const identity = state.identity(alias);
  if (identity === undefined) throw new Refused(Status.notFound);
  return identity;
}

/** 1 to 64 bytes of UTF-8. @throws DecodeError */
function readAlias(bytes: Uint8Array): string {
  const alias = decodeUtf8(bytes);
  if (alias === undefined || alias.length === 0 || bytes.length > MAX_ALIAS) {
    throw new DecodeError('an alias is 1 to 64 bytes of text');
  }
  return alias;
}

function chainBytes(chain: readonly Uint8Array[]): Uint8Array {
  const writer = new Writer(4096);
  writeChain(writer, chain);
  return writer.finish();
}

const NOTHING = new Uint8Array(0);
