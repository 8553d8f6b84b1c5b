//! TLS against a real mosquitto, with certificates of our own making: what works, and what each failure says.

use crate::common::*;
use crate::subscribers::{add, with_subscriber};
use andon_contract::contract::{ClientTls, Contract, MqttVersion, PublishTo, Secret, SourceKind, TlsIdentity};
use andon_edge::feed::{Wanted, destination, publisher as feeder};
use andon_edge::run::{SourceHandle, start_mqtt};
use andon_edge::subscriber::{Hubs, start_subscriber};
use andon_store::Store;
use rcgen::{BasicConstraints, Certificate, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// An authority with what it has signed, in a folder.
struct Plant {
    dir: PathBuf,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Plant {
    fn new(dir: &Path, name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let plant = Self { dir: dir.join(name), issuer };
        std::fs::create_dir(&plant.dir).unwrap();
        std::fs::write(plant.dir.join("ca.pem"), plant.issuer.pem()).unwrap();
        plant
    }

    fn path(&self, name: &str) -> String {
        self.dir.join(name).to_str().unwrap().to_owned()
    }

    /// Signs a certificate for these names and writes it with its key.
    fn sign(&self, file: &str, names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Certificate {
        let key = KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name.push(DnType::CommonName, file);
        change(&mut params);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        std::fs::write(self.path(&format!("{file}.pem")), certificate.pem()).unwrap();
        std::fs::write(self.path(&format!("{file}.key")), key.serialize_pem()).unwrap();
        certificate
    }

    fn identity(&self, file: &str) -> TlsIdentity {
        let key = Secret::File(self.path(&format!("{file}.key")));
        TlsIdentity { certificate: self.path(&format!("{file}.pem")), key }
    }

    fn trusted(&self) -> ClientTls {
        ClientTls { authority: Some(self.path("ca.pem")), identity: None }
    }

    /// A broker with the certificate of this file, which asks its clients for one where told.
    fn broker(&self, file: &str, asks: bool) -> Mosquitto {
        let ask = if asks { "require_certificate true" } else { "" };
        let extra = format!(
            "cafile {}\ncertfile {}\nkeyfile {}\n{ask}",
            self.path("ca.pem"),
            self.path(&format!("{file}.pem")),
            self.path(&format!("{file}.key")),
        );
        Mosquitto::start(&self.dir, &extra)
    }
}

fn with_tls(mut contract: Contract, tls: &ClientTls) -> Arc<Contract> {
    if let SourceKind::Mqtt(mqtt) = &mut contract.sources.get_mut("machines").unwrap().kind {
        mqtt.broker.tls = tls.clone();
    }
    if let Some(subscriber) = contract.subscribers.get_mut("alarms")
        && let PublishTo::Broker(broker) = &mut subscriber.to
    {
        broker.tls = tls.clone();
    }
    Arc::new(contract)
}

fn source(port: u16, tls: &ClientTls, store: &Store) -> SourceHandle {
    let contract = contract(&format!("mqtts://127.0.0.1:{port}"), MqttVersion::V5, 1, 1);
    let contract = with_tls(contract, tls);
    start_mqtt(&contract, &name("machines"), store.clone(), no_env(), Machine::clock(), chance(1)).unwrap()
}

/// What a source says that does not come in.
fn refusal(port: u16, tls: &ClientTls) -> String {
    let store = Store::memory(&mut chance(3));
    let source = source(port, tls, &store);
    until("it says why", || !["", "starting"].contains(&source.status().reason.as_str()));
    assert!(!source.status().connected);
    source.status().reason
}

#[test]
fn samples_and_events_go_over_tls_with_certificates_on_both_sides() {
    let dir = tempfile::tempdir().unwrap();
    let plant = Plant::new(dir.path(), "plant");
    plant.sign("broker", &["127.0.0.1"], |_| ());
    plant.sign("andon", &[], |_| ());
    let broker = plant.broker("broker", true);
    let tls = ClientTls { identity: Some(plant.identity("andon")), ..plant.trusted() };
    let store = Store::memory(&mut chance(3));
    let source = source(broker.port, &tls, &store);
    until("it is connected", || source.status().connected);

    // The rows of a feed, the samples of a source and the events of a subscriber, all over TLS.
    let address = format!("mqtts://127.0.0.1:{}", broker.port);
    let contract = with_subscriber(&address, MqttVersion::V5, 1, "andon/{asset}");
    let contract = with_tls(Arc::into_inner(contract).unwrap(), &tls);
    let to = destination(&contract, &Wanted::default()).unwrap();
    let mut feeder = feeder(&to, &no_env(), Machine::clock(), chance(8)).unwrap();
    let filler = "x".repeat(2_000);
    for n in 0..500 {
        let payload = format!("{{\"ts\":{},\"v\":{n},\"filler\":\"{filler}\"}}", 1_764_000_000_000_u64 + n);
        feeder.publish("machines/machine-000/temperature", payload.as_bytes(), &mut |_| false).unwrap();
    }
    feeder.flush(&mut |_| false).unwrap();
    until("all samples", || samples(&store).len() == 500);

    let events = Store::memory(&mut chance(4));
    let clock = Machine::clock();
    let subscriber =
        start_subscriber(contract, &name("alarms"), &Hubs::default(), events.clone(), no_env(), clock, chance(5))
            .unwrap();
    add(&events, 0..500);
    until("all events", || subscriber.status().delivered == 500);
}

#[test]
fn each_failure_says_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let (plant, other) = (Plant::new(dir.path(), "plant"), Plant::new(dir.path(), "other"));
    plant.sign("broker", &["127.0.0.1"], |_| ());
    plant.sign("elsewhere", &["broker.example"], |_| ());
    plant.sign("old", &["127.0.0.1"], |params| {
        (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2021, 1, 1));
    });
    other.sign("andon", &[], |_| ());

    let broker = plant.broker("broker", false);
    let said = refusal(broker.port, &other.trusted());
    assert!(said.contains("authority that is not believed here") && said.contains("authority: PATH"), "{said}");
    let said = refusal(broker.port, &ClientTls::default());
    assert!(said.contains("authority"), "{said}");
    drop(broker);

    let said = refusal(plant.broker("elsewhere", false).port, &plant.trusted());
    assert!(said.contains("for another name") && said.contains("broker.example"), "{said}");
    let said = refusal(plant.broker("old", false).port, &plant.trusted());
    assert!(said.contains("no longer valid") && said.contains("renew"), "{said}");

    // With TLS 1.3 a certificate is refused after the handshake is over for the client.
    let asks = plant.broker("broker", true);
    let said = refusal(asks.port, &plant.trusted());
    assert!(said.contains("wants a certificate of ours") && said.contains("certificate: PATH"), "{said}");
    let stranger = ClientTls { identity: Some(other.identity("andon")), ..plant.trusted() };
    let said = refusal(asks.port, &stranger);
    assert!(said.contains("authority of our certificate"), "{said}");
    drop(asks);

    let plain = Mosquitto::start(dir.path(), "");
    let said = refusal(plain.port, &plant.trusted());
    assert!(said.contains("TLS") && said.contains("8883"), "{said}");
    let said = refusal(plain.port, &ClientTls { authority: Some("/nonexistent/ca.pem".into()), identity: None });
    assert!(said.contains("/nonexistent/ca.pem"), "{said}");
}

#[test]
fn keys_of_tls_never_lead_to_a_connection_without() {
    let dir = tempfile::tempdir().unwrap();
    let plant = Plant::new(dir.path(), "plant");
    let plain = Mosquitto::start(dir.path(), "");
    let contract = with_tls(contract(&plain.address(), MqttVersion::V5, 1, 1), &plant.trusted());
    let store = Store::memory(&mut chance(3));
    let source =
        start_mqtt(&contract, &name("machines"), store.clone(), no_env(), Machine::clock(), chance(1)).unwrap();
    until("it says why", || source.status().reason.contains("mqtts://"));
}
