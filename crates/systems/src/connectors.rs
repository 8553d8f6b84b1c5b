//! The connectors of a contract: finds system and operation of a call and hands it to the connector of its protocol.

use crate::rest;
use andon_contract::{
    Contract,
    contract::{Operation, OperationRef, Reply, System},
};
use andon_model::{
    Name, Outcome, OutcomeClass, SiteName, Time,
    call::{CallRequest, Prepare, Prepared},
    object::{Ask, Item, Page},
};
use std::{collections::BTreeMap, fmt, sync::Arc};

/// Reads a variable of the environment: addresses and secrets by reference.
pub type Env = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// The connectors of one contract. A new revision of the project gets new ones.
pub struct Connectors {
    contract: Arc<Contract>,
    env: Env,
    /// One client for each system: a slow one holds nobody else up.
    clients: BTreeMap<Name, rest::Clients>,
    /// The documents that describe APIs, as they were read.
    documents: rest::http::Documents,
}

impl Connectors {
    /// The connectors of a contract. Nothing is connected, no address and no secret is read before it is used.
    pub fn new(contract: Arc<Contract>, env: impl Fn(&str) -> Option<String> + Send + Sync + 'static) -> Self {
        let clients = contract.systems.iter().map(|(name, of)| (name.clone(), rest::Clients::new(of))).collect();
        Self { contract, env: Arc::new(env), clients, documents: rest::http::Documents::default() }
    }

    /// Sends nothing more: whoever waits for a place, its turn or a token is told that nothing was sent. What is under
    /// way goes on. Called before the last outcomes are waited for.
    pub fn stop(&self) {
        self.clients.values().for_each(rest::Clients::stop);
    }

    /// Makes one attempt: adds the credentials, waits for one of the system's `concurrent` places, which reads take
    /// too, sends, and says what became of it. Needs a tokio runtime. Takes at most the system's `timeout` from its
    /// place on, and a few seconds more where a secret's file is slow. Dropping the future leaves the
    /// outcome unknown.
    pub async fn send(&self, request: &CallRequest, prepared: &Prepared) -> Outcome {
        if let Some(kind) = rest::http::kind(request) {
            return self.send_http(&kind, request, prepared).await;
        }
        let (system, operation) = match self.find(request) {
            Ok(found) => found,
            Err(outcome) => return *outcome,
        };
        let Some(clients) = self.clients.get(&request.system) else { return *gone(request) };
        let names = self.contract.identifiers.at(request.at);
        Box::pin(rest::send(system, operation, request, prepared, &rest::Shell { names, env: &*self.env, clients }))
            .await
    }

    /// Makes an attempt of a request that a workflow makes itself.
    async fn send_http(&self, kind: &rest::http::Kind, request: &CallRequest, prepared: &Prepared) -> Outcome {
        use rest::http::{Kind, describe, send};
        let systems = &self.contract.systems;
        let (Some(system), Some(clients)) = (systems.get(&request.system), self.clients.get(&request.system)) else {
            return *gone(request);
        };
        let shell = rest::Shell { names: self.contract.identifiers.at(request.at), env: &*self.env, clients };
        let of = (&request.system, system);
        match kind {
            Kind::Send(http) => Box::pin(send(of, http, prepared, &shell)).await,
            Kind::Describe(of_call) => {
                Box::pin(describe(systems, of, of_call, prepared, &shell, &self.documents)).await
            }
            Kind::Broken(cause) => Outcome::not_sent(OutcomeClass::Validation, cause.as_str()),
        }
    }

    /// Asks for one page of a read, in one of the system's `concurrent` places. Needs a tokio runtime; takes at most
    /// the system's `timeout` from its place on, and a few seconds more where a secret's file is slow. `Err` is the
    /// outcome of a request that told nothing.
    pub async fn read(&self, system: &Name, read: &Name, ask: &Ask) -> Result<Page, Box<Outcome>> {
        let found = self.contract.systems.get(system).and_then(|of| Some((of, of.reads.get(read)?)));
        let (Some((of, settings)), Some(clients)) = (found, self.clients.get(system)) else {
            let detail = format!("the project has no read {system}.{read} any more");
            return Err(Box::new(Outcome::not_sent(OutcomeClass::NotFound, detail)));
        };
        let names = self.contract.identifiers.at(ask.now);
        let shell = rest::Shell { names, env: &*self.env, clients };
        Box::pin(rest::read((system, of), settings, ask, &shell)).await
    }

    /// The items of what a system posts to a read: `None`, when it tells nothing; `Err` says why it cannot be read.
    pub fn posted(&self, system: &Name, read: &Name, body: &[u8], now: Time) -> Result<Option<Vec<Item>>, String> {
        let settings = self.contract.systems.get(system).and_then(|of| of.reads.get(read));
        let Some(settings) = settings else {
            return Err(format!("the project has no read {system}.{read} any more"));
        };
        rest::reads::posted(settings, settings.sites.first(), self.contract.identifiers.at(now), body)
    }

    /// An item that was set aside, read again; `Err` says why it cannot be.
    pub fn again(
        &self,
        system: &Name,
        read: &Name,
        site: Option<&SiteName>,
        item: &[u8],
        now: Time,
    ) -> Result<Item, String> {
        let settings = self.contract.systems.get(system).and_then(|of| of.reads.get(read));
        let settings = settings.ok_or_else(|| format!("the project has no read {system}.{read} any more"))?;
        rest::reads::again(settings, site, self.contract.identifiers.at(now), item)
    }

    /// What becomes of an attempt whose answer a scenario tells; nothing is sent.
    pub fn play(&self, request: &CallRequest, reply: &Reply) -> Outcome {
        match self.find(request) {
            Ok((_, operation)) => rest::play(operation, request, self.contract.identifiers.at(request.at), reply),
            Err(outcome) => *outcome,
        }
    }

    fn find(&self, request: &CallRequest) -> Result<(&System, &Operation), Box<Outcome>> {
        let name = OperationRef { system: request.system.clone(), operation: request.operation.clone() };
        self.contract.operation(&name).ok_or_else(|| gone(request))
    }
}

impl Prepare for Connectors {
    fn prepare(&self, request: &CallRequest) -> Result<Prepared, Outcome> {
        if let Some(kind) = rest::http::kind(request) {
            return rest::http::prepare(&self.contract.systems, request, &kind, &*self.env).map_err(|outcome| *outcome);
        }
        let (system, operation) = self.find(request).map_err(|outcome| *outcome)?;
        let base = system.base.resolve(&*self.env);
        rest::prepare(&base, operation, request, self.contract.identifiers.at(request.at)).map_err(|outcome| *outcome)
    }

    fn kept(&self, request: &CallRequest, prepared: &Prepared) -> Prepared {
        match (self.contract.systems.get(&request.system), self.clients.get(&request.system)) {
            (Some(system), Some(clients)) => clients.known.request(prepared, system, &*self.env),
            _ => prepared.clone(),
        }
    }
}

impl fmt::Debug for Connectors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connectors").field("systems", &self.clients.keys()).finish_non_exhaustive()
    }
}

/// An edit of the project removed the operation.
fn gone(request: &CallRequest) -> Box<Outcome> {
    let (system, operation) = (&request.system, &request.operation);
    let detail = format!("the project has no operation {system}.{operation} any more; restore it or reroute the call");
    Box::new(Outcome::not_sent(OutcomeClass::NotFound, detail))
}
