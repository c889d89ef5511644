//! Plain requests over TLS, to whatever answers.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::{ClientConnection, StreamOwned};
use rustls_pki_types::ServerName;

use super::Operator;
use super::wire::NAME;

impl Operator {
    /// Sends one request of HTTP/1.1 that closes the connection, and returns every byte of the answer.
    ///
    /// # Errors
    /// There is none.
    pub(crate) fn https(&self, address: SocketAddr, request: &[u8]) -> io::Result<Vec<u8>> {
        let mut config = rustls::ClientConfig::clone(&self.tls);
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let name = ServerName::try_from(NAME).map_err(io::Error::other)?;
        let client = ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?;
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        let mut stream = StreamOwned::new(client, stream);
        stream.write_all(request)?;
        let mut answer = Vec::new();
        match stream.read_to_end(&mut answer) {
            // Whoever closes without a word has said all of it.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(answer),
            read => read.map(|_| answer),
        }
    }
}
