//! An operator that answers what a test tells it to, over real TLS.

use std::{
    collections::{BTreeMap, HashMap},
    net::SocketAddr,
    sync::{Arc, Mutex},
    thread::{self, JoinHandle},
    time::Duration,
};

use rustls::ServerConfig;
use secretvault_delivery::v1::{
    Denial, File, Grant, GrantedVault, Reason, ReleaseRequest, ReleaseResponse, Sealed,
    Subscription, Verdict, Volume, WatchEvent, WatchRequest, delivery_server::Delivery,
    file::Content, verdict::Outcome,
};
use secretvault_envelope::{Binding, Dek, Envelope, Plaintext};
use tokio::{runtime::Runtime, sync::mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use crate::listener::{identity, listen};

/// What the operator says of a volume.
type Script = Box<dyn FnMut(&Volume) -> Result<Outcome, Status> + Send>;

pub(crate) struct Operator {
    pub(crate) address: SocketAddr,
    pub(crate) ca: String,
    tls: Arc<ServerConfig>,
    state: Arc<Mutex<State>>,
    runtime: Option<Runtime>,
}

struct State {
    script: Script,
    seen: Vec<Seen>,
    /// How many volumes each request had.
    requests: Vec<usize>,
    /// What an answer about a pod waits for.
    delays: HashMap<String, Duration>,
    /// Where the vaults are, by handle.
    vaults: BTreeMap<Vec<u8>, i64>,
    /// The words of the stream that stands, and its end.
    words: BTreeMap<Vec<u8>, Subscription>,
    stream: Option<mpsc::Sender<Result<WatchEvent, Status>>>,
    streams: usize,
    refuses_streams: bool,
}

/// One request, as far as tests look at it.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) peer: SocketAddr,
    pub(crate) authorization: String,
    pub(crate) volume: Volume,
}

impl Operator {
    pub(crate) fn start() -> Self {
        let (tls, ca) = identity();
        let script: Script = Box::new(|_| Err(Status::unavailable("no script")));
        let mut operator = Self {
            address: ([127, 0, 0, 1], 0).into(),
            ca,
            tls: Arc::new(tls),
            state: Arc::new(Mutex::new(State {
                script,
                seen: Vec::new(),
                requests: Vec::new(),
                delays: HashMap::new(),
                vaults: BTreeMap::new(),
                words: BTreeMap::new(),
                stream: None,
                streams: 0,
                refuses_streams: false,
            })),
            runtime: None,
        };
        operator.resume();
        operator
    }

    /// Listens again, at the same address.
    pub(crate) fn resume(&mut self) {
        let (runtime, address) = listen(self.address, &self.tls, Service(self.state.clone()));
        self.runtime = Some(runtime);
        self.address = address;
    }

    /// Likewise, while the test does something else.
    pub(crate) fn resume_after(&self, pause: Duration) -> JoinHandle<Runtime> {
        let (address, tls, state) = (self.address, self.tls.clone(), self.state.clone());
        thread::spawn(move || {
            thread::sleep(pause);
            listen(address, &tls, Service(state)).0
        })
    }

    pub(crate) fn resumed(&mut self, returning: JoinHandle<Runtime>) {
        self.runtime = Some(returning.join().unwrap());
    }

    /// Goes away with all its connections.
    pub(crate) fn stop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // A thread that is left over would keep the address.
            runtime.shutdown_timeout(Duration::from_secs(30));
        }
    }

    pub(crate) fn answer(
        &self,
        script: impl FnMut(&Volume) -> Result<Outcome, Status> + Send + 'static,
    ) {
        self.state.lock().unwrap().script = Box::new(script);
    }

    pub(crate) fn grant(&self, grant: Grant) {
        self.answer(move |_| Ok(Outcome::Grant(grant.clone())));
    }

    pub(crate) fn deny(&self, reason: Reason, message: &str) {
        self.deny_withdrawing(reason, message, &[]);
    }

    /// Denies, and takes these files away.
    pub(crate) fn deny_withdrawing(&self, reason: Reason, message: &str, paths: &[&str]) {
        let denial = Denial {
            reason: reason.into(),
            message: message.to_owned(),
            withdrawn: paths.iter().map(ToString::to_string).collect(),
        };
        self.answer(move |_| Ok(Outcome::Denial(denial.clone())));
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.state.lock().unwrap().seen.clone()
    }

    pub(crate) fn last(&self) -> Seen {
        self.seen().pop().expect("a request")
    }

    /// How many volumes each request has had so far.
    pub(crate) fn requests(&self) -> Vec<usize> {
        self.state.lock().unwrap().requests.clone()
    }

    /// Makes answers about a pod take time.
    pub(crate) fn delay(&self, pod_uid: &str, delay: Duration) {
        let mut state = self.state.lock().unwrap();
        state.delays.insert(pod_uid.to_owned(), delay);
    }

    /// What was said on the stream that stands: `handle@generation since`.
    pub(crate) fn words(&self) -> Vec<String> {
        let state = self.state.lock().unwrap();
        let words = state.words.values().map(|word| {
            let handle = String::from_utf8(word.handle.clone()).unwrap();
            format!("{handle}@{} {}", word.generation, word.since)
        });
        words.collect()
    }

    /// Vaults have changed: says so on the stream, if there is one. 0: nobody knows where to.
    pub(crate) fn tell(&self, changed: &[(&str, i64)]) {
        let mut state = self.state.lock().unwrap();
        let mut event = WatchEvent::default();
        for (handle, generation) in changed {
            let handle = handle.as_bytes().to_vec();
            state.vaults.insert(handle.clone(), *generation);
            event.changed.push(handle);
            event.generations.push(*generation);
        }
        if let Some(stream) = &state.stream {
            let _ = stream.try_send(Ok(event));
        }
    }

    /// Ends the stream that stands.
    pub(crate) fn end_stream(&self, status: Status) {
        let stream = self.state.lock().unwrap().stream.take();
        let _ = stream.expect("a stream").try_send(Err(status));
    }

    /// How many streams there have been.
    pub(crate) fn streams(&self) -> usize {
        self.state.lock().unwrap().streams
    }

    /// Is from before there were streams.
    pub(crate) fn refuse_streams(&self) {
        self.state.lock().unwrap().refuses_streams = true;
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A grant of one vault, `shop/app` at a generation, with sealed files at these paths.
pub(crate) fn grant(generation: i64, files: &[(&str, &str)]) -> Grant {
    let dek = Dek::generate().unwrap();
    let vault = GrantedVault {
        namespace: "shop".to_owned(),
        name: "app".to_owned(),
        uid: "vault-1".to_owned(),
        generation,
        scope: "scope".to_owned(),
        handle: b"shop/app".to_vec(),
        ..GrantedVault::default()
    };
    Grant {
        vaults: vec![vault],
        files: files
            .iter()
            .map(|(path, value)| file(&dek, path, value))
            .collect(),
        ..Grant::default()
    }
}

fn file(dek: &Dek, path: &str, value: &str) -> File {
    let binding = Binding::new("scope", "shop", "app", path);
    let envelope = Envelope::seal(dek, &binding, &Plaintext::from(value.to_owned())).unwrap();
    let sealed = Sealed {
        key: dek.entry_key(&binding, &envelope).expose().to_vec(),
        envelope: envelope.to_string(),
    };
    File {
        path: path.to_owned(),
        entry: path.to_owned(),
        gid_is_default: true,
        mode: 0o444,
        content: Some(Content::Sealed(sealed)),
        ..File::default()
    }
}

struct Service(Arc<Mutex<State>>);

#[tonic::async_trait]
impl Delivery for Service {
    async fn release(
        &self,
        request: Request<ReleaseRequest>,
    ) -> Result<Response<ReleaseResponse>, Status> {
        let peer = *request.extensions().get::<SocketAddr>().unwrap();
        let authorization = request.metadata().get("authorization");
        let authorization = authorization.unwrap().to_str().unwrap().to_owned();
        let (answer, delay) = self.answer(peer, &authorization, request.into_inner().volumes);
        tokio::time::sleep(delay).await;
        answer
    }

    type WatchStream = ReceiverStream<Result<WatchEvent, Status>>;

    async fn watch(
        &self,
        request: Request<Streaming<WatchRequest>>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let (stream, events) = mpsc::channel(1024);
        {
            let mut state = self.0.lock().unwrap();
            if state.refuses_streams {
                return Err(Status::unimplemented("what is a stream?"));
            }
            state.streams += 1;
            state.words.clear();
            state.stream = Some(stream.clone());
        }
        let (state, mut said) = (Arc::clone(&self.0), request.into_inner());
        tokio::spawn(async move {
            while let Ok(Some(said)) = said.message().await {
                state.lock().unwrap().hear(&stream, said);
            }
        });
        Ok(Response::new(ReceiverStream::new(events)))
    }
}

impl Service {
    fn answer(
        &self,
        peer: SocketAddr,
        authorization: &str,
        volumes: Vec<Volume>,
    ) -> (Result<Response<ReleaseResponse>, Status>, Duration) {
        let mut state = self.0.lock().unwrap();
        state.requests.push(volumes.len());
        let (mut verdicts, mut delay) = (Vec::new(), Duration::ZERO);
        for volume in volumes {
            let seen = Seen {
                peer,
                authorization: authorization.to_owned(),
                volume: volume.clone(),
            };
            state.seen.push(seen);
            let uid = &volume.pod.as_ref().unwrap().uid;
            delay = delay.max(state.delays.get(uid).copied().unwrap_or_default());
            match (state.script)(&volume) {
                Ok(outcome) => verdicts.push(Verdict {
                    outcome: Some(outcome),
                }),
                Err(status) => return (Err(status), delay),
            }
        }
        (Ok(Response::new(ReleaseResponse { verdicts })), delay)
    }
}

impl State {
    fn hear(&mut self, stream: &mpsc::Sender<Result<WatchEvent, Status>>, said: WatchRequest) {
        let mut event = WatchEvent::default();
        for handle in said.dropped {
            self.words.remove(&handle);
        }
        for word in said.subscriptions {
            let at = self.vaults.get(&word.handle).copied().unwrap_or_default();
            if at > word.generation {
                event.changed.push(word.handle.clone());
                event.generations.push(at);
            }
            self.words.insert(word.handle.clone(), word);
        }
        if !event.changed.is_empty() {
            let _ = stream.try_send(Ok(event));
        }
    }
}
