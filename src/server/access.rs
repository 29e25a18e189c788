//! Whether a request may be answered: who asks, for which stream.

use super::connection::Connection;
use super::udp::Owner;
use crate::access::{Refusal, Wish, link};
use crate::config::Action;
use crate::rtsp::{Method, Request, Response, Status, Uri, session_id};

impl Connection {
    /// Lets a request pass, or gives the answer that refuses it. What is about no stream (OPTIONS, a ping without a
    /// session, what is not supported) passes.
    ///
    /// Whether there is a stream of that name is not told to those who may not watch it.
    pub(super) async fn admit(&mut self, request: &Request) -> Result<(), Response> {
        let in_session = request.headers.get("Session").is_some_and(|session| !session.is_empty());
        match request.method {
            Method::Describe | Method::Setup | Method::Play | Method::Pause | Method::Teardown => {}
            Method::GetParameter | Method::SetParameter if in_session => {}
            _ => return Ok(()),
        }
        // What cannot be read is refused later, with its own status.
        let uri = Uri::parse(&request.uri).ok().flatten();
        let stream = self.stream_of(request, uri.as_ref());
        let wish = Wish {
            action: if self.is_to_talk(request, uri.as_ref()) { Action::Talk } else { Action::Watch },
            stream: stream.as_deref(),
            method: request.method.as_str(),
            uri: None,
            authorization: request.headers.get("Authorization"),
            token: uri.as_ref().and_then(|uri| link::token(uri.query.as_deref()?)),
        };
        let admitted = self.visitor.admit(&self.shared.access, &wish).await;
        admitted.map_err(|refusal| match refusal {
            Refusal::LogIn(challenges) => challenges
                .into_iter()
                .fold(Response::new(Status::UNAUTHORIZED), |r, line| r.header("WWW-Authenticate", line)),
            Refusal::Forbidden => Response::new(Status::FORBIDDEN),
            Refusal::Blocked(left) => {
                Response::new(Status::FORBIDDEN).header("Retry-After", left.as_secs().max(1))
            }
        })
    }

    /// Whose the UDP sessions are that are made here, and that may be reached from here.
    pub(super) fn owner(&self) -> Owner {
        Owner { peer: self.peer.ip(), user: self.visitor.user().map(str::to_owned) }
    }

    /// The stream that a request is about: its session's, else the one its URI leads to, else what the URI says.
    fn stream_of(&self, request: &Request, uri: Option<&Uri>) -> Option<String> {
        let id = request.headers.get("Session").and_then(session_id::parse).map(|(id, _)| id);
        if let Some(here) = self.sessions.iter().find(|here| Some(here.session().id()) == id) {
            return Some(here.session().mount().stream().name().to_owned());
        }
        let path = &uri?.path;
        let mount = self.shared.mounts.find(path);
        Some(mount.map_or_else(|| path.clone(), |mount| mount.stream().name().to_owned()))
    }
}
