import { describe, expect, it } from 'vitest';
import { Policy } from '../../../src/tunnel/policy.ts';

const alice = { subject: 'CN=alice, O=Example', spki: 'ab'.repeat(32) };
const mallory = { subject: 'CN=mallory', spki: 'cd'.repeat(32) };

describe('Policy', () => {
  it('says no to whom no rule names, and to who shows nothing', () => {
    const policy = new Policy([
      { subject: alice.subject, applications: ['*'], destinations: ['*:*'], reverse: ['*:*'] },
    ]);
    for (const client of [mallory, undefined]) {
      expect(policy.mayUse(client, 'web')).toBe(false);
      expect(policy.mayReach(client, { host: 'a', port: 1 })).toBe(false);
      expect(policy.mayListen(client, { host: 'a', port: 1 })).toBe(false);
    }
    expect(policy.mayUse(alice, 'web')).toBe(true);
    expect(policy.mayReach(alice, { host: 'a', port: 1 })).toBe(true);
    expect(policy.mayListen(alice, { host: 'a', port: 1 })).toBe(true);
  });

  it('a rule with subject and key needs both, and gives what it lists only', () => {
    const policy = new Policy([
      { subject: alice.subject, spki: mallory.spki, applications: ['web'] },
      { spki: alice.spki.toUpperCase().replace(/(..)(?=.)/g, '$1:'), applications: ['db'] },
    ]);
    expect(policy.mayUse(alice, 'web')).toBe(false);
    expect(policy.mayUse(alice, 'db')).toBe(true);
    expect(policy.mayUse(alice, 'd')).toBe(false);
    expect(policy.mayReach(alice, { host: 'db', port: 1 })).toBe(false);
  });

  it.each([
    ['db.test:5432', 'db.test', 5432, true],
    ['db.test:5432', 'DB.test', 5432, true],
    ['db.test:5432', 'db.test.', 5432, true],
    ['db.test:5432', 'db.test', 5433, false],
    ['db.test:5432', 'xdb.test', 5432, false],
    ['*.test:443', 'a.b.test', 443, true],
    ['*.test:443', 'test', 443, false],
    ['*.test:443', '.test', 443, false],
    ['*.test:443', 'atest', 443, false],
    ['*.test:*', 'a.test', 65_535, true],
    ['10.0.0.0/8:22', '10.200.3.4', 22, true],
    ['10.0.0.0/8:22', '11.0.0.1', 22, false],
    ['10.0.0.0/8:22', '10.0.0.1.test', 22, false],
    ['10.0.0.7:22', '10.0.0.7', 22, true],
    ['10.0.0.7:22', '10.0.0.8', 22, false],
    ['[2001:db8::/32]:22', '2001:db8:1::9', 22, true],
    ['[2001:db8::/32]:22', '2001:db9::9', 22, false],
    ['[::1]:22', '0:0:0:0:0:0:0:1', 22, true],
    ['*:80', '10.0.0.8', 80, true],
    ['*:80', 'any', 81, false],
  ])('%s and %s:%i: %s', (rule, host, port, expected) => {
    const policy = new Policy([{ spki: alice.spki, destinations: [rule] }]);
    expect(policy.mayReach(alice, { host, port })).toBe(expected);
  });

  it.each([
    ['nobody', { applications: ['*'] }],
    ['a hash that is none', { spki: 'abc' }],
    ['a destination without a port', { subject: 'CN=a', destinations: ['db.test'] }],
    ['port 0', { subject: 'CN=a', destinations: ['db.test:0'] }],
    ['port 65536', { subject: 'CN=a', destinations: ['db.test:65536'] }],
    ['a network of 33 bits', { subject: 'CN=a', destinations: ['10.0.0.0/33:1'] }],
    ['a name with bits', { subject: 'CN=a', reverse: ['db.test/8:1'] }],
    ['an IPv6 address without brackets', { subject: 'CN=a', reverse: ['::1:22'] }],
  ])('%s does not work', (_what, rule) => {
    expect(() => new Policy([rule])).toThrow(expect.objectContaining({ code: 'ERR_TUNNEL_OPTION' }));
  });
});
