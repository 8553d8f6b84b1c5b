//! The connectors of a contract: finds system and operation of a call and hands it to the connector of its protocol.

use crate::{names::Names, rest};
use andon_contract::{
    Contract,
    contract::{Operation, OperationRef, Reply, System},
};
use andon_model::{
    Name, Outcome, OutcomeClass,
    call::{CallRequest, Prepare, Prepared},
    object::{Ask, Page},
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
}

impl Connectors {
    /// The connectors of a contract. Nothing is connected, no address and no secret is read before it is used.
    pub fn new(contract: Arc<Contract>, env: impl Fn(&str) -> Option<String> + Send + Sync + 'static) -> Self {
        let clients =
            contract.systems.iter().map(|(name, of)| (name.clone(), rest::Clients::new(of.concurrent))).collect();
        Self { contract, env: Arc::new(env), clients }
    }

    /// Makes one attempt: adds the credentials, waits for one of the system's `concurrent` places, which reads take
    /// too, sends, and says what became of it. Needs a tokio runtime. Takes at most the system's `timeout` from its
    /// place on, and a few seconds more where a secret's file is slow. Dropping the future leaves the
    /// outcome unknown.
    pub async fn send(&self, request: &CallRequest, prepared: &Prepared) -> Outcome {
        let (system, operation) = match self.find(request) {
            Ok(found) => found,
            Err(outcome) => return *outcome,
        };
        let Some(clients) = self.clients.get(&request.system) else { return *gone(request) };
        let names = Names::new(&self.contract.identifiers);
        Box::pin(rest::send(system, operation, request, prepared, &rest::Shell { names, env: &*self.env, clients }))
            .await
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
        let names = Names::new(&self.contract.identifiers);
        let shell = rest::Shell { names, env: &*self.env, clients };
        Box::pin(rest::read((system, of), settings, ask, &shell)).await
    }

    /// What becomes of an attempt whose answer a scenario tells; nothing is sent.
    pub fn play(&self, request: &CallRequest, reply: &Reply) -> Outcome {
        match self.find(request) {
            Ok((_, operation)) => rest::play(operation, request, Names::new(&self.contract.identifiers), reply),
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
        let (system, operation) = self.find(request).map_err(|outcome| *outcome)?;
        let base = system.base.resolve(&*self.env);
        rest::prepare(&base, operation, request, Names::new(&self.contract.identifiers)).map_err(|outcome| *outcome)
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
