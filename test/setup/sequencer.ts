import { BaseSequencer, type TestSpecification } from 'vitest/node';

/**
 * Seconds that files take on two cores, those that would be started too late by their size. With a long one last, the
 * other core has nothing to do meanwhile. Only the order depends on it, so it need not be exact.
 */
const SECONDS: Readonly<Record<string, number>> = {
  'test/peers/module-pcsc.test.ts': 60,
  'test/peers/probe.test.ts': 30,
  'test/peers/evidence-bundle.test.ts': 25,
  'test/peers/tls-gnutls.test.ts': 20,
  'test/peers/tls12-gnutls-matrix.test.ts': 20,
  'test/peers/tls12-openssl-matrix.test.ts': 20,
  'test/peers/tls-openssl-matrix.test.ts': 15,
  'test/e2e/tunnel-sign.test.ts': 90,
  'test/e2e/tunnel.test.ts': 80,
  'test/e2e/demo-module.test.ts': 60,
  'test/e2e/tunnel-udp.test.ts': 55,
  'test/e2e/demo-sign.test.ts': 40,
  'test/e2e/evidence.test.ts': 40,
  'test/e2e/tunnel-startup.test.ts': 30,
  'test/e2e/tunnel-sign-crash.test.ts': 30,
  'test/e2e/session-crash.test.ts': 25,
  'test/e2e/demo.test.ts': 25,
  'test/e2e/tunnel-programs.test.ts': 25,
  'test/package/package.test.ts': 20,
  'test/e2e/demo-udp.test.ts': 20,
  'test/e2e/tunnel-channels.test.ts': 20,
  'test/e2e/evidence-crash.test.ts': 15,
  'test/e2e/tunnel-module.test.ts': 15,
  'test/e2e/tunnel-psk.test.ts': 15,
  'test/e2e/node-http.test.ts': 15,
  'test/e2e/node-stream.test.ts': 15,
  'test/e2e/sign-stream.test.ts': 15,
};

/** In each group the files that take long first, the others as vitest has them: what failed, what took long, what is large. */
export class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const place = ({ project }: TestSpecification): number => project.config.sequence.groupOrder;
    const seconds = ({ module }: { module: string }): number => SECONDS[module] ?? 0;
    const root = this.ctx.config.root.length + 1;
    return (await super.sort(files))
      .map((file) => ({ file, module: file.moduleId.slice(root) }))
      .sort((a, b) => place(a.file) - place(b.file) || seconds(b) - seconds(a))
      .map(({ file }) => file);
  }
}
