//! A connection of its own for listings and look-ups. They are nearly all that is ever asked, so their answers are
//! read here and not through the client library: it makes a value of its own of every key and of every number, which
//! costs the client more than all else that it does with a key. For everything else there is [`Conn`].
//!
//! [`Conn`]: crate::cluster::Conn

use std::fmt;

use redis::ConnectionInfo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::answers::Answers;
use super::replies::Replies;
use super::request::{command, write};
use super::resp::{Item, item};
use super::{Ask, Listing};
use crate::cluster::fault::{Fault, FaultKind};
use crate::cluster::socket::{Dial, Socket, explain, open};
use crate::limits::{READ_BYTES, REPLY_BYTES_MAX, RESPONSE_TIMEOUT};

/// See the module. One that failed is of no use any more. Dropping it closes the connection.
pub struct Lister {
    address: String,
    socket: Box<dyn Socket>,
    request: Vec<u8>,
}

impl Lister {
    /// Connects as `dial` says, to the same database and as the same user as any connection; `name` names it.
    pub(in crate::cluster) async fn connect(dial: &Dial, name: &str) -> Result<Self, Fault> {
        let mut lister =
            Self { address: dial.address.clone(), socket: open(dial).await?, request: Vec::new() };
        let met = timeout(RESPONSE_TIMEOUT, lister.introduce(&dial.info, name)).await;
        match met.unwrap_or_else(|_| Err(lister.lost(&"no answer in time"))) {
            Ok(()) => Ok(lister),
            Err(fault) => Err(dial.blame(explain(dial, fault).await)),
        }
    }

    /// Says who we are, and which database we mean. Servers or users that do not allow the name work as well.
    async fn introduce(&mut self, info: &ConnectionInfo, name: &str) -> Result<(), Fault> {
        let settings = info.redis_settings();
        let (mut needed, db) = (0, settings.db().to_string());
        if let Some(password) = settings.password() {
            match settings.username() {
                Some(user) => command(&mut self.request, &[b"AUTH", user.as_bytes(), password.as_bytes()]),
                None => command(&mut self.request, &[b"AUTH", password.as_bytes()]),
            }
            needed += 1;
        }
        if settings.db() != 0 {
            command(&mut self.request, &[b"SELECT", db.as_bytes()]);
            needed += 1;
        }
        command(&mut self.request, &[b"CLIENT", b"SETNAME", name.as_bytes()]);
        self.send().await?;
        let refused = self.refused(needed + 1).await?;
        refused.into_iter().take(needed).flatten().next().map_or(Ok(()), Err)
    }

    /// Asks to be answered by a replica of a cluster, which otherwise sends us to its primary.
    ///
    /// # Errors
    /// As any connection's.
    pub async fn readonly(&mut self) -> Result<(), Fault> {
        command(&mut self.request, &[b"READONLY"]);
        self.send().await?;
        let refused = timeout(RESPONSE_TIMEOUT, self.refused(1)).await;
        let refused = refused.unwrap_or_else(|_| Err(self.lost(&"no answer in time")))?;
        refused.into_iter().flatten().next().map_or(Ok(()), Err)
    }

    /// Waits for the answers to so many commands that answer OK, and nothing else: the fault that each answers instead.
    ///
    /// # Errors
    /// [`FaultKind::Full`] as soon as the server says so, because it answers nothing after it.
    async fn refused(&mut self, commands: usize) -> Result<Vec<Option<Fault>>, Fault> {
        let (mut said, mut at, mut refused) = (Vec::new(), 0, Vec::new());
        while refused.len() < commands || at < said.len() {
            match item(&said, &mut at) {
                Ok(None) => self.receive(&mut said).await?,
                Ok(Some(Item::Status(_))) if refused.len() < commands => refused.push(None),
                Ok(Some(Item::Error(words))) if refused.len() < commands => {
                    let fault = Fault::from_words(&self.address, &said[words]);
                    if fault.kind == FaultKind::Full {
                        return Err(fault);
                    }
                    refused.push(Some(fault));
                }
                Ok(Some(_)) | Err(_) => return Err(Fault::unexpected(&self.address, "AUTH")),
            }
        }
        Ok(refused)
    }

    /// Sends listing commands together with look-ups of keys seen before, in one write, so that the server reads on
    /// while we sort what it has sent. What it answers takes the place of what `answers` held.
    ///
    /// # Errors
    /// As any connection's. Nothing more can be asked of this one then.
    pub async fn window<'k>(
        &mut self,
        listings: &[Listing],
        look_up: impl ExactSizeIterator<Item = &'k [u8]>,
        ask: Ask,
        answers: &mut Answers,
    ) -> Result<(), Fault> {
        self.request.clear();
        let looks = look_up.len();
        write(&mut self.request, listings, look_up, ask);
        let in_time = timeout(RESPONSE_TIMEOUT, self.exchange(listings, looks, ask, answers)).await;
        in_time.unwrap_or_else(|_| Err(self.lost(&"no answer in time")))
    }

    async fn exchange(
        &mut self,
        listings: &[Listing],
        looks: usize,
        ask: Ask,
        answers: &mut Answers,
    ) -> Result<(), Fault> {
        self.send().await?;
        answers.clear();
        let Answers { bytes, found } = answers;
        let address = self.address.clone();
        let mut replies = Replies::new(&address, ask, looks, listings, found);
        while !replies.read(bytes)? {
            self.receive(bytes).await?;
        }
        Ok(())
    }

    async fn send(&mut self) -> Result<(), Fault> {
        let sent = async {
            self.socket.write_all(&self.request).await?;
            // What TLS has encrypted may still wait for the socket.
            self.socket.flush().await
        };
        let sent = sent.await;
        self.request.clear();
        sent.map_err(|e| self.lost(&e))
    }

    /// Appends what the server sends next.
    async fn receive(&mut self, bytes: &mut Vec<u8>) -> Result<(), Fault> {
        if bytes.len() > REPLY_BYTES_MAX {
            let said = format!("an answer of more than {REPLY_BYTES_MAX} bytes");
            return Err(Fault::new(FaultKind::Protocol, self.address.as_str(), said));
        }
        bytes.reserve(READ_BYTES);
        match self.socket.read_buf(bytes).await {
            Ok(0) => Err(self.lost(&"the server closed the connection")),
            Ok(_) => Ok(()),
            Err(e) => Err(self.lost(&e)),
        }
    }

    fn lost(&self, said: &dyn fmt::Display) -> Fault {
        Fault::new(FaultKind::Lost, self.address.as_str(), said.to_string())
    }
}
