//! A listener and clients of other people: Mosquitto's, Paho for Python, MQTT.js. `cargo xtask setup` installs them;
//! the test says which one it does without.

use crate::{common::*, listener::*};
use andon_edge::listener::ListenerHandle;
use andon_model::Value;
use andon_store::Store;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use std::{
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

/// Where `cargo xtask setup` puts the clients that are no packages of Debian.
fn installed(path: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/clients").join(path);
    let found = path.exists().then_some(path.clone());
    if found.is_none() {
        assert!(std::env::var_os("CI").is_none(), "{} is missing: cargo xtask setup", path.display());
        println!("{} is missing, so it is not tested: cargo xtask setup", path.display());
    }
    found
}

/// An authority, a certificate for the listener, one of a client, and one of nobody.
fn certificates(dir: &Path) {
    let write = |name: &str, text: &str| std::fs::write(dir.join(name), text).unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, "Plant authority");
    let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    write("ca.pem", &ca.pem());
    for name in ["127.0.0.1", "press-7", "other"] {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        let file = if name == "127.0.0.1" { "server" } else { name };
        write(&format!("{file}.pem"), &params.signed_by(&key, &ca).unwrap().pem());
        write(&format!("{file}.key"), &key.serialize_pem());
    }
}

/// An open listener, one with clients, one with TLS of both sides; all for one store.
struct Three {
    store: Store,
    dir: tempfile::TempDir,
    listeners: Vec<ListenerHandle>,
}

impl Three {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        certificates(dir.path());
        let folder = dir.path().display();
        let clients = format!(
            "{OPEN}        clients:\n          line: {{ password: 'env:PW_LINE', sites: [hamburg], \
             publish: ['cell/+/temperature'], subscribe: ['cell/#', 'andon/v1/+/events/#'] }}\n"
        );
        let tls = format!(
            "{OPEN}        tls: {{ certificate: '{folder}/server.pem', key: 'file:{folder}/server.key', \
             client-authority: '{folder}/ca.pem' }}\n        clients:\n          press: {{ certificate: press-7 }}\n"
        );
        let store = Store::memory(&mut chance(3));
        let listeners = [OPEN, &clients, &tls].map(|settings| start(&project(settings), &store)).into();
        Self { store, dir, listeners }
    }

    fn arguments(&self) -> Vec<String> {
        let ports = self.listeners.iter().map(|listener| listener.address().port().to_string());
        ports.chain([self.dir.path().display().to_string()]).collect()
    }

    fn notes(&self) -> Vec<String> {
        let texts = samples(&self.store).into_iter().filter_map(|sample| match sample.value {
            Value::Text(text) => Some(text.to_string()),
            _ => None,
        });
        texts.collect()
    }

    /// Different numbers among the samples.
    fn numbers(&self) -> usize {
        let all = samples(&self.store).into_iter().filter(|s| matches!(s.value, Value::F64(_)));
        all.map(|sample| sample.time).collect::<std::collections::BTreeSet<_>>().len()
    }
}

fn ran(mut command: Command) -> Output {
    let output = command.stdin(Stdio::null()).output().expect("the program runs");
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

#[test]
fn paho_is_served_and_refused_as_it_must_be() {
    let Some(python) = installed("python/bin/python") else { return };
    let three = Three::start();
    let mut command = Command::new(python);
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/paho_client.py")).args(three.arguments());
    let output = ran(command);
    let sent: usize = String::from_utf8_lossy(&output.stdout).trim().parse().unwrap();
    until("every sample is there", || three.numbers() == sent + 1);
    assert_eq!(three.notes(), ["by TLS"]);
}

#[test]
fn mqtt_js_is_served_and_refused_as_it_must_be() {
    let Some(modules) = installed("node/node_modules") else { return };
    let three = Three::start();
    let mut command = Command::new("node");
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/mqttjs_client.cjs")).args(three.arguments());
    command.env("NODE_PATH", modules);
    let output = ran(command);
    let sent: usize = String::from_utf8_lossy(&output.stdout).trim().parse().unwrap();
    until("every sample is there", || three.numbers() == sent);
    assert_eq!(three.notes(), ["by TLS of MQTT.js"]);
}

fn mosquitto(program: &str, three: &Three, listener: usize, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(["-h", "127.0.0.1", "-p", &three.arguments()[listener]]).args(arguments).stdin(Stdio::null());
    command
}

#[test]
fn the_clients_of_mosquitto_are_served_and_refused_as_they_must_be() {
    let three = Three::start();
    let folder = three.dir.path().display().to_string();
    for (n, version) in ["mqttv311", "mqttv5"].into_iter().enumerate() {
        for qos in ["0", "1", "2"] {
            let payload = format!("{{\"ts\":{},\"v\":1}}", 1_764_000_000_000_u64 + n as u64 * 10);
            let topic = "cell/press-01/temperature";
            ran(mosquitto("mosquitto_pub", &three, 0, &["-V", version, "-q", qos, "-t", topic, "-m", &payload, "-r"]));
        }
        let heard = ran(mosquitto("mosquitto_sub", &three, 0, &["-V", version, "-t", "cell/#", "-C", "1", "-W", "20"]));
        assert!(String::from_utf8_lossy(&heard.stdout).contains("\"v\":1"));
        let refused =
            mosquitto("mosquitto_pub", &three, 1, &["-V", version, "-t", "a", "-m", "1", "-u", "line", "-P", "x"])
                .output()
                .unwrap();
        assert!(!refused.status.success());
        let told = String::from_utf8_lossy(&refused.stderr).to_lowercase();
        assert!(told.contains("user name or password") || told.contains("not authori"), "{told}");
    }
    until("two samples, each sent three times", || three.numbers() == 2);
    let (ca, cert, key) =
        (format!("{folder}/ca.pem"), format!("{folder}/press-7.pem"), format!("{folder}/press-7.key"));
    let secure = ["--cafile", &ca, "--cert", &cert, "--key", &key, "-q", "1", "-t", "note/press-01", "-m", "by TLS"];
    ran(mosquitto("mosquitto_pub", &three, 2, &secure));
    assert_eq!(three.notes(), ["by TLS"]);
    let bare = mosquitto("mosquitto_pub", &three, 2, &["--cafile", &ca, "-q", "1", "-t", "note/press-01", "-m", "x"]);
    let mut bare = bare;
    assert!(!bare.output().unwrap().status.success());
}
