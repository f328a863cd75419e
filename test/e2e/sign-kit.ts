import { join } from 'node:path';
import { expect } from 'vitest';
import { evidence } from '../../src/cli/evidence.ts';
import { openSqliteReader } from '../../src/evidence/archive/sqlite/store.ts';
import { type Pki, scratch, startTunnel } from './tunnel-kit.ts';

interface AuditReport {
  readonly records: number;
  readonly findings: readonly { readonly kind: string }[];
  readonly [field: string]: unknown;
}

/** What `trellis evidence audit` says, in this process: test/e2e/evidence.test.ts starts one for it. */
async function audited(words: readonly string[]): Promise<AuditReport> {
  const reports: object[] = [];
  const context = { printResult: (report: object) => reports.push(report), printText: () => {} };
  await evidence(['audit', '--json', ...words], context);
  return reports[0] as AuditReport;
}

/** What two archives hold in the end, and what audits with the other as witness say. */
export async function evidenceOf(folder: string, ca: string) {
  const view = async (name: string, other: string) => {
    const path = join(folder, name);
    const audit = await audited(['--archive', path, '--ca', ca, '--witness', join(folder, other)]);
    const reader = openSqliteReader(path);
    const records = [];
    for (;;) {
      const page = await reader.records(records.length, 256, { objects: true });
      records.push(...page.map(({ record, object }) => ({ ...record, object })));
      if (page.length === 0) break;
    }
    await reader.close();
    return { audit, records };
  };
  return { client: await view('client.db', 'server.db'), server: await view('server.db', 'client.db') };
}

/** Both sides sign `app`, as FORMAT[:receipt], in these units. */
export async function signedTunnel(
  port: number,
  rule: string,
  unit: string,
  more: { neighbours?: Record<string, number>; serve?: string[]; connect?: string[]; pki?: Pki } = {},
) {
  const folder = scratch();
  const sign = (name: string) => [
    '--sign',
    `app=${rule}`,
    '--sign-unit',
    unit,
    '--archive',
    join(folder, name),
  ];
  const tunnel = await startTunnel({
    applications: { app: port, ...more.neighbours },
    serve: [...sign('server.db'), ...(more.serve ?? [])],
    connect: [...sign('client.db'), ...(more.connect ?? [])],
    ...(more.pki && { pki: more.pki }),
  });
  return {
    ...tunnel,
    folder,
    port: tunnel.ports.app as number,
    /** Stops both and looks. */
    evidence: async () => {
      expect(await tunnel.client.stop()).toMatchObject({ code: 0 });
      expect(await tunnel.server.stop()).toMatchObject({ code: 0 });
      return evidenceOf(folder, tunnel.pki.ca);
    },
  };
}
