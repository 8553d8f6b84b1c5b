"""Paho against a listener: arguments are the ports of an open one, of one with clients, of one with TLS, and the folder
of certificates. Ends with 0 when everything was as it must be."""

import json
import queue
import ssl
import sys
import time

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

OPEN, CLIENTS, TLS, FOLDER = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
TOPIC = "cell/press-01/temperature"


class Client:
    """A client that remembers what it was told."""

    def __init__(self, port, version, name, user=None, will=None, tls=None):
        self.told, self.v5 = queue.Queue(), version == 5
        protocol = mqtt.MQTTv5 if self.v5 else mqtt.MQTTv311
        self.mqtt = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=name, protocol=protocol, reconnect_on_failure=False)
        if user:
            self.mqtt.username_pw_set(*user)
        if will:
            self.mqtt.will_set(*will)
        if tls:
            self.mqtt.tls_set(f"{FOLDER}/ca.pem", *tls)
        self.mqtt.on_connect = lambda c, u, flags, code, p: self.tell("connected", code.value, p)
        self.mqtt.on_disconnect = lambda c, u, flags, code, p: self.tell("disconnected", code.value)
        self.mqtt.on_subscribe = lambda c, u, mid, codes, p: self.tell("subscribed", [code.value for code in codes])
        self.mqtt.on_unsubscribe = lambda c, u, mid, codes, p: self.tell("unsubscribed", [code.value for code in codes])
        self.mqtt.on_publish = lambda c, u, mid, code, p: self.tell("published", code.value)
        self.mqtt.on_message = lambda c, u, m: self.tell("message", m.topic, m.payload.decode(), m.qos, m.retain)
        self.mqtt.connect("127.0.0.1", port)
        self.mqtt.loop_start()

    def tell(self, *what):
        self.told.put(what)

    def next(self, kind):
        while True:
            what = self.told.get(timeout=20)
            if what[0] == kind:
                return what[1:]

    def connected(self):
        code = self.next("connected")
        assert code[0] == 0, code
        return self

    def subscribe(self, topic, options=1):
        self.mqtt.subscribe(topic, options=SubscribeOptions(qos=options)) if self.v5 else self.mqtt.subscribe(topic, options)
        return self.next("subscribed")[0]

    def publish(self, topic, payload, qos, retain=False):
        self.mqtt.publish(topic, payload, qos, retain)
        return self.next("published")[0]

    def close(self):
        self.mqtt.disconnect()
        self.mqtt.loop_stop()


def sample(n):
    return json.dumps({"ts": 1764000000000 + n, "v": n})


n = 0
for version in (3, 5):
    client = Client(OPEN, version, f"paho-{version}").connected()
    for qos in (0, 1, 2):
        for _ in range(50):
            n += 1
            client.mqtt.publish(TOPIC, sample(n), qos)
        for _ in range(50):
            assert client.next("published")[0] == 0
    subscriber = Client(OPEN, version, f"paho-sub-{version}").connected()
    assert subscriber.subscribe("cell/+/temperature", 2) == [1], "QoS 2 is granted as 1"
    n += 1
    client.publish(TOPIC, sample(n), 1, retain=True)
    assert subscriber.next("message") == (TOPIC, sample(n), 1, False)
    later = Client(OPEN, version, f"paho-later-{version}").connected()
    later.subscribe("cell/#")
    assert later.next("message") == (TOPIC, sample(n), 1, True)
    later.mqtt.unsubscribe(["cell/#"])
    later.next("unsubscribed")
    later.close()
    # Connected again with the same client id: the one before is told, and subscribes anew afterwards.
    again = Client(OPEN, version, f"paho-sub-{version}").connected()
    assert subscriber.next("disconnected")[0] == (0x8E if version == 5 else 0x80)
    again.subscribe("cell/#", 0)
    assert again.next("message") == (TOPIC, sample(n), 0, True)
    # A will is published when a client is gone without a word.
    n += 1
    dying = Client(OPEN, version, f"paho-dying-{version}", will=(TOPIC, sample(n), 1, False)).connected()
    dying.mqtt.socket().close()
    assert again.next("message") == (TOPIC, sample(n), 0, False)
    again.close()
    assert client.publish(TOPIC, "", 1, retain=True) == 0, "an empty retained message forgets the one before"
    client.close()

# Refusals.
client = Client(OPEN, 5, "paho-refused").connected()
assert client.publish("elsewhere", "1", 1) == 0x90
# Paho goes on after a PUBREC that refuses; it is told by PUBCOMP that the id is not under way.
assert client.publish("elsewhere", "1", 2) in (0x90, 0x92)
assert client.subscribe("$share/group/cell/#") == [0x9E]
# At QoS 0 nothing is said, and the conversation goes on.
client.mqtt.publish("elsewhere", "1", 0)
n += 1
assert client.publish(TOPIC, sample(n), 1) == 0
client = Client(OPEN, 5, "paho-large").connected()
client.mqtt.publish(TOPIC, "x" * (2 << 20), 1)
assert client.next("disconnected")[0] == 0x95
client = Client(OPEN, 5, "paho-id").connected()
properties = Properties(PacketTypes.SUBSCRIBE)
properties.SubscriptionIdentifier = 7
client.mqtt.subscribe("cell/#", options=SubscribeOptions(qos=1), properties=properties)
assert client.next("disconnected")[0] == 0xA1
client = Client(OPEN, 3, "paho-refused-3").connected()
assert client.subscribe("$share/group/cell/#") == [0x80]
# 3.1.1 cannot be told: it is set aside, acknowledged, and blocks nothing.
for qos in (0, 1, 2):
    client.publish("elsewhere", "1", qos)
n += 1
client.publish(TOPIC, sample(n), 1)

for version, user, code in [
    (3, ("line", "wrong"), 0x86),
    (3, None, 0x87),
    (5, ("line", "wrong"), 0x86),
    (5, ("nobody", "pw-line"), 0x86),
    (5, None, 0x87),
]:
    client = Client(CLIENTS, version, "paho-x", user)
    assert client.next("connected")[0] == code, (version, user)
client = Client(CLIENTS, 5, "paho-line", ("line", "pw-line")).connected()
assert client.publish(TOPIC, sample(n + 1), 1) == 0
assert client.publish("cell/press-11/temperature", sample(1), 1) == 0x87, "a machine of another site"
assert client.publish("cell/press-99/temperature", sample(1), 1) == 0x87, "nobody's machine"
assert client.publish("note/press-01", "x", 1) == 0x87, "not within its filters"
assert client.subscribe("cell/#") == [1]
assert client.subscribe("#") == [0x87]
client.close()

# TLS: an authority that signs both sides; who shows no certificate does not come in.
client = Client(TLS, 5, "paho-tls", tls=(f"{FOLDER}/press-7.pem", f"{FOLDER}/press-7.key")).connected()
assert client.publish("note/press-01", "by TLS", 1) == 0
client.close()
try:
    client = Client(TLS, 5, "paho-bare", tls=())
    client.next("disconnected")
    assert not client.mqtt.is_connected()
except (ssl.SSLError, ConnectionError):
    pass
client = Client(TLS, 5, "paho-other", tls=(f"{FOLDER}/other.pem", f"{FOLDER}/other.key"))
assert client.next("connected")[0] == 0x87, "a certificate of nobody"
print(n)
