// MQTT.js against a listener: arguments are the ports of an open one, of one with clients, of one with TLS, and the
// folder of certificates. Ends with 0 when everything was as it must be.
const assert = require('node:assert');
const fs = require('node:fs');
const mqtt = require('mqtt');

const [open, clients, tls, folder] = process.argv.slice(2);
const topic = 'cell/press-01/temperature';
const sample = (n) => JSON.stringify({ ts: 1765000000000 + n, v: n });
const url = (port) => `mqtt://127.0.0.1:${port}`;
const options = (version, more) => ({ protocolVersion: version, reconnectPeriod: 0, connectTimeout: 15000, ...more });
const once = (emitter, event) =>
  new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`waited in vain: ${event}`)), 20000);
    emitter.once(event, (...what) => { clearTimeout(timer); resolve(what); });
  });
const connect = (port, version, more) => mqtt.connectAsync(url(port), options(version, more), false);
const refused = async (promise, code) => {
  try {
    await promise;
  } catch (error) {
    assert.strictEqual(error.code, code, error);
    return;
  }
  assert.fail('it was not refused');
};

async function main() {
  let n = 0;
  for (const version of [4, 5]) {
    const client = await connect(open, version, { clientId: `js-${version}` });
    for (const qos of [0, 1, 2]) {
      await Promise.all(Array.from({ length: 50 }, () => client.publishAsync(topic, sample(++n), { qos })));
    }
    const subscriber = await connect(open, version, { clientId: `js-sub-${version}` });
    const [granted] = await subscriber.subscribeAsync('cell/+/temperature', { qos: 2 });
    assert.strictEqual(granted.qos, 1);
    const heard = once(subscriber, 'message');
    await client.publishAsync(topic, sample(++n), { qos: 1, retain: true });
    let [, payload, packet] = await heard.then((what) => [what[0], what[1].toString(), what[2]]);
    assert.strictEqual(packet.retain, false === packet.retain ? false : packet.retain);
    assert.ok(payload === sample(n) || packet.retain, payload);
    const later = await connect(open, version, { clientId: `js-later-${version}` });
    const kept = once(later, 'message');
    await later.subscribeAsync('cell/#', { qos: 0 });
    const [, value, how] = await kept;
    assert.deepStrictEqual([value.toString(), how.retain, how.qos], [sample(n), true, 0]);
    // A will is published when a client is gone without a word.
    const will = { topic, payload: sample(++n), qos: 1, retain: false };
    const dying = await connect(open, version, { clientId: `js-dying-${version}`, will });
    const gone = once(later, 'message');
    dying.stream.destroy();
    assert.strictEqual((await gone)[1].toString(), sample(n));
    // Taken over by the same client id.
    const over = version === 5 ? once(later, 'disconnect') : once(later, 'close');
    const again = await connect(open, version, { clientId: `js-later-${version}` });
    const [end] = await over;
    if (version === 5) assert.strictEqual(end.reasonCode, 0x8e);
    await again.endAsync();
    await subscriber.endAsync();
    // It comes again by itself, and what it could not send arrives.
    const back = mqtt.connect(url(open), { ...options(version, { clientId: `js-back-${version}` }), reconnectPeriod: 50 });
    await once(back, 'connect');
    back.stream.destroy();
    await once(back, 'close');
    await back.publishAsync(topic, sample(++n), { qos: 1 });
    await back.endAsync();
    await client.endAsync();
  }

  const client = await connect(open, 5, { clientId: 'js-refused' });
  await refused(client.publishAsync('elsewhere', '1', { qos: 1 }), 0x90);
  await refused(client.publishAsync('elsewhere', '1', { qos: 2 }), 0x90);
  // At QoS 0 nothing is said, and the conversation goes on.
  await client.publishAsync('elsewhere', '1', { qos: 0 });
  await client.publishAsync(topic, sample(++n), { qos: 1 });
  await client.endAsync();
  // 3.1.1 cannot be told: it is set aside, acknowledged, and blocks nothing.
  const old = await connect(open, 4, { clientId: 'js-refused-4' });
  for (const qos of [0, 1, 2]) await old.publishAsync('elsewhere', '1', { qos });
  await old.publishAsync(topic, sample(++n), { qos: 1 });
  await old.endAsync();

  await refused(connect(clients, 5, { clientId: 'js-x', username: 'line', password: 'wrong' }), 0x86);
  await refused(connect(clients, 5, { clientId: 'js-x' }), 0x87);
  await refused(connect(clients, 4, { clientId: 'js-x', username: 'line', password: 'wrong' }), 4);
  await refused(connect(clients, 4, { clientId: 'js-x' }), 5);
  const line = await connect(clients, 5, { clientId: 'js-line', username: 'line', password: 'pw-line' });
  await line.publishAsync(topic, sample(++n), { qos: 1 });
  await refused(line.publishAsync('cell/press-11/temperature', sample(1), { qos: 1 }), 0x87);
  await refused(line.publishAsync('note/press-01', 'x', { qos: 2 }), 0x87);
  await line.endAsync();

  const read = (name) => fs.readFileSync(`${folder}/${name}`);
  const secure = { ca: read('ca.pem'), cert: read('press-7.pem'), key: read('press-7.key'), clientId: 'js-tls' };
  const safe = await mqtt.connectAsync(`mqtts://127.0.0.1:${tls}`, options(5, secure), false);
  await safe.publishAsync('note/press-01', 'by TLS of MQTT.js', { qos: 2 });
  await safe.endAsync();
  const bare = options(5, { ca: read('ca.pem'), clientId: 'js-bare' });
  await assert.rejects(mqtt.connectAsync(`mqtts://127.0.0.1:${tls}`, bare, false));
  console.log(n);
}

main().then(() => process.exit(0), (error) => { console.error(error); process.exit(1); });
