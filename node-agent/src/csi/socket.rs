//! Our two sockets: there, root's alone, and not those of an agent that is no more.

use std::{
    fs, io,
    os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::{net::UnixListener, time::sleep};

/// A bound socket, which is removed with its listener.
#[derive(Debug)]
pub struct Socket {
    path: PathBuf,
    inode: u64,
}

impl Socket {
    /// Binds a socket, in place of a stale one.
    ///
    /// # Errors
    /// Something that is no socket is there, or the kernel refused.
    pub fn bind(path: &Path) -> io::Result<(Self, UnixListener)> {
        remove_stale(path)?;
        let listener = UnixListener::bind(path).map_err(|error| {
            io::Error::new(error.kind(), format!("{}: {error}", path.display()))
        })?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
        let socket = Self {
            path: path.to_owned(),
            inode: fs::metadata(path)?.ino(),
        };
        Ok((socket, listener))
    }

    /// Waits until the socket is gone or is another's: kubelet's directory was emptied or renewed.
    pub async fn lost(&self) {
        while self.is_there() {
            sleep(LOOK).await;
        }
    }

    fn is_there(&self) -> bool {
        fs::metadata(&self.path).is_ok_and(|found| found.ino() == self.inode)
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // A successor may have put its own there already.
        if self.is_there() {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn remove_stale(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.file_type().is_socket() => fs::remove_file(path),
        Ok(_) => {
            let what = format!("{} is no socket: remove it", path.display());
            Err(io::Error::new(io::ErrorKind::AlreadyExists, what))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => match path.parent() {
            Some(parent) => fs::create_dir_all(parent),
            None => Ok(()),
        },
        Err(error) => Err(error),
    }
}

const LOOK: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_stale_socket_is_replaced_and_ours_is_roots_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("plugins/csi.sock");
        fs::create_dir(path.parent().unwrap()).unwrap();
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let (socket, _listener) = Socket::bind(&path).unwrap();
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        drop(socket);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn what_is_no_socket_stays() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        fs::write(&path, "precious").unwrap();
        assert!(Socket::bind(&path).is_err());
        assert!(path.exists());
    }

    #[tokio::test(start_paused = true)]
    async fn a_removed_socket_is_noticed_and_a_successors_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("reg.sock");
        let (first, _first) = Socket::bind(&path).unwrap();
        let (second, _second) = Socket::bind(&path).unwrap();
        first.lost().await;
        drop(first);
        assert!(second.is_there());
        fs::remove_file(&path).unwrap();
        second.lost().await;
    }
}
