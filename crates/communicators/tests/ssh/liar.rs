//! A server that answers SFTP as a test tells it to, whatever that does to the client. It runs no commands.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use bakelite_communicators::options::CommunicatorOptions;
use russh::keys::PrivateKey;
use russh::server::{Auth, ChannelOpenHandle, Config, Handler, Msg, Session, run_stream};
use russh::{Channel, ChannelId};
use russh_sftp::protocol::{Attrs, Data, File, FileAttributes, FileMode, Handle, Name, OpenFlags, Status, StatusCode};
use russh_sftp::server::StatusReply;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::passwords::HOST_KEY;

/// What is at a path, as the server has it this time.
#[derive(Clone)]
pub(crate) enum There {
    File,
    Directory,
    /// A link with this target.
    Link(&'static str),
    /// Nothing, with this complaint.
    Nothing(String),
}

/// What a server claims.
pub(crate) trait Lie: Send + Sync + 'static {
    /// What is at a path, asked for the `time`th time.
    fn there(&self, path: &str, time: usize) -> There;

    /// The names in a directory.
    fn names(&self, path: &str) -> Vec<String>;

    /// The mode of everything.
    fn mode(&self) -> u32 {
        0o644
    }

    /// Does the list of names begin again and again?
    fn is_endless(&self) -> bool {
        false
    }
}

/// A running server; it ends with the value.
pub(crate) struct Liar {
    port: u16,
    _serving: JoinSet<()>,
}

impl Liar {
    pub(crate) async fn start(lie: impl Lie) -> Liar {
        let lie: Arc<dyn Lie> = Arc::new(lie);
        let config = Arc::new(Config {
            keys: vec![PrivateKey::from_openssh(HOST_KEY).unwrap()],
            ..Config::default()
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut sessions = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let server = Server {
                    lie: Arc::clone(&lie),
                    channels: HashMap::new(),
                };
                let config = Arc::clone(&config);
                sessions.spawn(async move {
                    if let Ok(session) = run_stream(config, stream, server).await {
                        // It ends when the client goes.
                        let _ = session.await;
                    }
                });
            }
        });
        Liar {
            port,
            _serving: serving,
        }
    }

    pub(crate) fn options(&self) -> CommunicatorOptions {
        let json = serde_json::json!({ "ssh_username": "u", "ssh_password": "p", "ssh_port": self.port });
        serde_json::from_value(json).unwrap()
    }
}

struct Server {
    lie: Arc<dyn Lie>,
    channels: HashMap<ChannelId, Channel<Msg>>,
}

impl Handler for Server {
    type Error = russh::Error;

    async fn auth_password(&mut self, _user: &str, _password: &str) -> Result<Auth, russh::Error> {
        Ok(Auth::Accept)
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), russh::Error> {
        self.channels.insert(channel.id(), channel);
        reply.accept().await;
        Ok(())
    }

    async fn exec_request(
        &mut self,
        id: ChannelId,
        _command: &[u8],
        session: &mut Session,
    ) -> Result<(), russh::Error> {
        session.channel_success(id)?;
        session.exit_status_request(id, 127)?;
        session.eof(id)?;
        session.close(id)
    }

    async fn subsystem_request(
        &mut self,
        id: ChannelId,
        _name: &str,
        session: &mut Session,
    ) -> Result<(), russh::Error> {
        session.channel_success(id)?;
        let files = Files {
            lie: Arc::clone(&self.lie),
            asked: Mutex::default(),
            listed: HashMap::new(),
        };
        let channel = self.channels.remove(&id).unwrap();
        russh_sftp::server::run(channel.into_stream(), files).await;
        Ok(())
    }
}

struct Files {
    lie: Arc<dyn Lie>,
    asked: Mutex<HashMap<String, usize>>,
    listed: HashMap<String, bool>,
}

impl Files {
    fn there(&self, path: &str) -> Result<(There, FileAttributes), StatusReply> {
        let mut asked = self.asked.lock().unwrap();
        let times = asked.entry(path.to_owned()).or_default();
        *times += 1;
        let there = self.lie.there(path, *times);
        let kind = match &there {
            There::File => FileMode::REG,
            There::Directory => FileMode::DIR,
            There::Link(_) => FileMode::LNK,
            There::Nothing(why) => return Err(StatusCode::Failure.with_message(why.clone())),
        };
        let mut attributes = FileAttributes::empty();
        attributes.permissions = Some(self.lie.mode() | kind.bits());
        attributes.size = Some(5);
        attributes.mtime = Some(1);
        attributes.atime = Some(1);
        Ok((there, attributes))
    }
}

impl russh_sftp::server::Handler for Files {
    type Error = StatusReply;

    fn unimplemented(&self) -> StatusReply {
        StatusCode::OpUnsupported.into()
    }

    async fn lstat(&mut self, id: u32, path: String) -> Result<Attrs, StatusReply> {
        let (_, attrs) = self.there(&path)?;
        Ok(Attrs { id, attrs })
    }

    async fn stat(&mut self, id: u32, path: String) -> Result<Attrs, StatusReply> {
        let is_file = matches!(self.lie.there(&path, usize::MAX), There::File);
        let (_, mut attrs) = self.there(&path)?;
        let kind = if is_file { FileMode::REG } else { FileMode::DIR };
        attrs.permissions = Some(self.lie.mode() | kind.bits());
        Ok(Attrs { id, attrs })
    }

    async fn readlink(&mut self, id: u32, path: String) -> Result<Name, StatusReply> {
        let There::Link(target) = self.lie.there(&path, 1) else {
            return Err(StatusCode::Failure.into());
        };
        Ok(Name {
            id,
            files: vec![File::dummy(target)],
        })
    }

    async fn opendir(&mut self, id: u32, path: String) -> Result<Handle, StatusReply> {
        self.listed.insert(path.clone(), false);
        Ok(Handle { id, handle: path })
    }

    async fn readdir(&mut self, id: u32, handle: String) -> Result<Name, StatusReply> {
        let is_endless = self.lie.is_endless();
        let listed = self.listed.get_mut(&handle).unwrap();
        if std::mem::replace(listed, true) && !is_endless {
            return Err(StatusCode::Eof.into());
        }
        let names = self.lie.names(&handle).into_iter();
        let files = names.map(File::dummy).collect();
        Ok(Name { id, files })
    }

    async fn open(&mut self, id: u32, path: String, _: OpenFlags, _: FileAttributes) -> Result<Handle, StatusReply> {
        Ok(Handle { id, handle: path })
    }

    async fn read(&mut self, id: u32, _handle: String, offset: u64, _len: u32) -> Result<Data, StatusReply> {
        if offset > 0 {
            return Err(StatusCode::Eof.into());
        }
        Ok(Data {
            id,
            data: b"EVIL\n".to_vec(),
        })
    }

    async fn close(&mut self, id: u32, _handle: String) -> Result<Status, StatusReply> {
        Ok(Status {
            id,
            status_code: StatusCode::Ok,
            error_message: String::new(),
            language_tag: String::new(),
        })
    }
}
