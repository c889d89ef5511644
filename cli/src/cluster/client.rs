//! The cluster, as whoever types the command may see it.

use std::{fmt, time::Duration};

use anyhow::{Context, bail};
use http::Request;
use kube::{
    Api, Client, Config, Resource, api::ListParams, config::KubeConfigOptions,
    core::NamespaceResourceScope,
};
use serde::de::DeserializeOwned;

/// A connection to one cluster.
#[derive(Clone)]
pub(super) struct Cluster {
    client: Client,
}

/// Why something of the cluster is not known. Never a value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Blind {
    /// RBAC.
    #[error("you may not {what}")]
    Forbidden {
        /// Such as `list pods`.
        what: String,
    },
    /// Anything else.
    #[error("{what}: {why}")]
    Failed {
        /// What was tried.
        what: String,
        /// What the API server or the connection says.
        why: String,
    },
}

impl Cluster {
    /// Connects as kubectl would: KUBECONFIG, `~/.kube/config`, or the service account of a pod.
    ///
    /// # Errors
    /// There is no such cluster, or nothing that says where it is.
    pub(super) async fn connect(context: Option<&str>) -> anyhow::Result<Self> {
        let mut config = config(context).await?;
        config.connect_timeout = Some(CONNECTING);
        config.read_timeout = Some(ANSWERING);
        let client = Client::try_from(config).context("the cluster cannot be connected to")?;
        Ok(Self { client })
    }

    /// The client, for what is not here.
    pub(super) fn client(&self) -> Client {
        self.client.clone()
    }

    /// The object of this name.
    pub(super) async fn one<K>(&self, api: Api<K>, name: &str) -> Result<Option<K>, Blind>
    where
        K: Clone + DeserializeOwned + fmt::Debug + Resource<DynamicType = ()>,
    {
        let read = api.get_opt(name).await;
        read.map_err(|error| Blind::of(&error, format!("read {} {name}", K::plural(&()))))
    }

    /// All objects that `api` speaks of.
    pub(super) async fn all<K>(&self, api: Api<K>) -> Result<Vec<K>, Blind>
    where
        K: Clone + DeserializeOwned + fmt::Debug + Resource<DynamicType = ()>,
    {
        let mut found = Vec::new();
        let mut page = ListParams::default().limit(PAGE);
        loop {
            let listed = api.list(&page).await;
            let listed =
                listed.map_err(|error| Blind::of(&error, format!("list {}", K::plural(&()))))?;
            found.extend(listed.items);
            match listed.metadata.continue_.filter(|it| !it.is_empty()) {
                Some(next) => page = page.continue_token(&next),
                None => return Ok(found),
            }
        }
    }

    /// All objects of all namespaces.
    pub(super) async fn everywhere<K>(&self) -> Result<Vec<K>, Blind>
    where
        K: Clone + DeserializeOwned + fmt::Debug + Resource<DynamicType = ()>,
    {
        self.all(Api::all(self.client())).await
    }

    /// All objects of all namespaces, or as far as one may look: those of one namespace.
    pub(super) async fn wherever<K>(&self, namespace: &str, blind: &mut Vec<Blind>) -> Vec<K>
    where
        K: Clone + DeserializeOwned + fmt::Debug,
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        let here = match self.everywhere().await {
            Ok(found) => return found,
            Err(Blind::Forbidden { what }) => {
                let what = format!("{what} of other namespaces than {namespace}");
                blind.push(Blind::Forbidden { what });
                self.all(Api::namespaced(self.client(), namespace)).await
            }
            Err(failed) => Err(failed),
        };
        here.unwrap_or_else(|reason| {
            blind.push(reason);
            Vec::new()
        })
    }

    /// Kubernetes' version: the first thing that is asked.
    ///
    /// # Errors
    /// The cluster does not answer.
    pub(super) async fn version(&self) -> anyhow::Result<(u32, u32)> {
        let version = self.client.apiserver_version().await;
        let version = version.context("the cluster does not answer")?;
        // As in "33+", of clouds.
        let number = |text: &str| {
            let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
            digits.parse().unwrap_or_default()
        };
        Ok((number(&version.major), number(&version.minor)))
    }

    /// Sends a text to a path, and returns the answer.
    pub(super) async fn post(&self, path: &str, body: String, what: &str) -> Result<String, Blind> {
        let request = Request::post(path)
            .header("content-type", "application/json")
            .body(body.into_bytes());
        let request = request.map_err(|error| Blind::Failed {
            what: what.to_owned(),
            why: error.to_string(),
        })?;
        let text = self.client.request_text(request).await;
        text.map_err(|error| Blind::of(&error, what.to_owned()))
    }

    /// What the API server says at a path, as text.
    pub(super) async fn text(&self, path: &str) -> Result<String, Blind> {
        let what = || format!("get {path}");
        let request = Request::get(path).body(Vec::new());
        let request = request.map_err(|error| Blind::Failed {
            what: what(),
            why: error.to_string(),
        })?;
        let text = self.client.request_text(request).await;
        text.map_err(|error| Blind::of(&error, what()))
    }
}

impl Blind {
    /// In words, and without what was read: the message of a parser may quote it.
    pub(super) fn of(error: &kube::Error, what: String) -> Self {
        if let kube::Error::Api(status) = error {
            if status.is_forbidden() {
                return Self::Forbidden { what };
            }
            let why = status.message.clone();
            return Self::Failed { what, why };
        }
        let why = if matches!(error, kube::Error::SerdeError(_)) {
            "the answer cannot be read by this version".to_owned()
        } else {
            error.to_string()
        };
        Self::Failed { what, why }
    }
}

async fn config(context: Option<&str>) -> anyhow::Result<Config> {
    let options = KubeConfigOptions {
        context: context.map(str::to_owned),
        ..KubeConfigOptions::default()
    };
    let unknown = match Config::from_kubeconfig(&options).await {
        Ok(config) => return Ok(config),
        Err(error) => error,
    };
    // Of a pod, unless somebody says which cluster is meant.
    match Config::incluster() {
        Ok(config) if context.is_none() => Ok(config),
        Ok(_) | Err(_) => bail!("no cluster is known: {unknown}; set KUBECONFIG"),
    }
}

const CONNECTING: Duration = Duration::from_secs(5);
const ANSWERING: Duration = Duration::from_secs(15);

/// Objects in one answer.
const PAGE: u32 = 500;
