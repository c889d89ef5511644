//! Every port that listens, and every path that such a port may answer.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use secretvault_e2e::{Node, Part, SYSTEM, kubectl};

use super::Scene;
use super::answers::Answers;
use crate::attacker::Operator;
use crate::process::Process;

/// Of the parts themselves, and what the API server and kubelets show of them.
pub(super) fn every_port_and_path(_scene: &Scene, answers: &mut Answers) {
    let agents = ["node-a", "node-b"].map(|node| Part::agent_on(&Node::named(node)));
    for agent in &agents {
        assert_eq!(ports(agent), BTreeSet::from([HTTP]), "of {}", agent.name);
    }
    let operators = Part::operators();
    for operator in &operators {
        let expected = BTreeSet::from([HTTP, WEBHOOK, RELEASE]);
        assert_eq!(ports(operator), expected, "of {}", operator.name);
    }
    for part in agents.iter().chain(&operators) {
        let open = PATHS.iter().filter(|path| plain(part, path, answers));
        let open: Vec<&&str> = open.collect();
        assert_eq!(
            open,
            [&"/livez", &"/metrics", &"/readyz"],
            "of {}",
            part.name
        );
        let path = format!(
            "/api/v1/namespaces/{SYSTEM}/pods/{}:{HTTP}/proxy",
            part.name
        );
        let metrics = kubectl(&["get", "--raw", &format!("{path}/metrics")]);
        answers.that_says("metrics, through the API server", "secretvault_", &metrics);
        let debug = kubectl(&["get", "--raw", &format!("{path}/debug/pprof/heap")]);
        answers.that_says("debug, through the API server", "could not find", &debug);
    }
    let client = Operator::find();
    for part in &operators {
        for port in [WEBHOOK, RELEASE] {
            for path in PATHS {
                let address = format!("{}:{port}", part.address)
                    .parse()
                    .expect("an address");
                let get = get(path);
                let answer = client.https(address, get.as_bytes()).expect("an answer");
                let name = format!("{}:{port}{path}", part.name);
                answers.bytes(&name, &answer, "HTTP/1.1 ");
            }
        }
    }
    kubelets(answers);
}

/// What kubelet tells an administrator.
fn kubelets(answers: &mut Answers) {
    for (node, says) in [("node-a", "secretvault"), ("node-b", "secretvault")] {
        for path in ["pods", "runningpods/"] {
            let path = format!("/api/v1/nodes/{node}/proxy/{path}");
            answers.that_says(&path, says, &kubectl(&["get", "--raw", &path]));
        }
        for path in [
            "configz",
            "metrics",
            "metrics/cadvisor",
            "stats/summary",
            "logs/",
        ] {
            let path = format!("/api/v1/nodes/{node}/proxy/{path}");
            answers.that_says(&path, "", &kubectl(&["get", "--raw", &path]));
        }
    }
}

/// Whether a path is answered with 200.
fn plain(part: &Part, path: &str, answers: &mut Answers) -> bool {
    let answer = http(&part.address, &get(path)).expect("an answer");
    answers.bytes(&format!("{}:{HTTP}{path}", part.name), &answer, "HTTP/1.1 ");
    answer.starts_with(b"HTTP/1.1 200")
}

fn http(address: &str, request: &str) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect((address, HTTP))?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(answer)
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: part\r\nConnection: close\r\n\r\n")
}

/// The ports that a part's process listens on, in its own network.
fn ports(part: &Part) -> BTreeSet<u16> {
    let process = Process::of(part);
    let tables = ["net/tcp", "net/tcp6"].map(|table| {
        let table = fs::read_to_string(process.file(table));
        table.expect("a table of sockets")
    });
    let lines = tables.iter().flat_map(|table| table.lines().skip(1));
    let listening = lines.filter_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (_, port) = words[1].rsplit_once(':')?;
        (words[3] == LISTENS).then(|| u16::from_str_radix(port, 16).expect("a port"))
    });
    listening.collect()
}

const HTTP: u16 = 8080;
const WEBHOOK: u16 = 8443;
const RELEASE: u16 = 8444;

/// As the kernel writes it.
const LISTENS: &str = "0A";

/// What is there, and what programs like ours have been found to leave open.
const PATHS: [&str; 22] = [
    "/",
    "/admission/secretvaults",
    "/api/v1/vaults",
    "/config",
    "/configz",
    "/debug",
    "/debug/pprof/",
    "/debug/pprof/heap",
    "/debug/vars",
    "/dump",
    "/env",
    "/grpc.health.v1.Health/Check",
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "/heap",
    "/keyring",
    "/livez",
    "/logs",
    "/metrics",
    "/readyz",
    "/secretvault.delivery.v1.Delivery/Release",
    "/status",
    "/vaults/app",
];
