//! One connection of a WS-Man server: who is there, what is asked, and the faults that a test has ordered.

use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue, WWW_AUTHENTICATE};
use hyper::{Method, Request, Response, StatusCode};

use super::ntlm::{Handshake, Sealing, Step};
use super::soap::{self, Fault};
use super::{Trouble, World};

/// What is known of a connection.
pub(super) struct Connection {
    world: Arc<World>,
    login: Mutex<Login>,
}

#[derive(Default)]
struct Login {
    handshake: Handshake,
    accepted: bool,
    /// Of a session by NTLM.
    sealing: Option<Sealing>,
}

/// Closes the connection without an answer.
#[derive(Debug)]
pub(super) struct HangUp;

impl std::fmt::Display for HangUp {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("the test wants no answer")
    }
}

impl std::error::Error for HangUp {}

type Answer = Response<Full<Bytes>>;

impl Connection {
    pub(super) fn new(world: Arc<World>) -> Self {
        Self {
            world,
            login: Mutex::default(),
        }
    }

    pub(super) async fn answer(&self, request: Request<Incoming>) -> Result<Answer, HangUp> {
        if request.method() != Method::POST || request.uri().path() != "/wsman" {
            return Ok(plain(StatusCode::NOT_FOUND, "there is only POST /wsman"));
        }
        let authorization = request.headers().get(AUTHORIZATION).cloned();
        let kind = request.headers().get(CONTENT_TYPE).cloned();
        let is = |name: &[u8]| kind.as_ref().is_some_and(|kind| kind.as_bytes().starts_with(name));
        let body = request.into_body().collect().await.map_err(|_| HangUp)?.to_bytes();
        if let Some(refusal) = self.refuse_login(authorization.as_ref()) {
            return Ok(refusal);
        }
        if body.is_empty() {
            // A handshake that is made before the first message.
            return Ok(plain(StatusCode::OK, ""));
        }
        if is(b"multipart/encrypted") {
            return self.serve_sealed(&body).await;
        }
        if !is(b"application/soap+xml") {
            return Ok(plain(StatusCode::UNSUPPORTED_MEDIA_TYPE, "the content is no SOAP"));
        }
        if self.world.encrypted_only {
            self.world.note("Unencrypted");
            return Ok(plain(StatusCode::INTERNAL_SERVER_ERROR, ""));
        }
        self.serve(&body).await
    }

    async fn serve_sealed(&self, body: &[u8]) -> Result<Answer, HangUp> {
        let opened = match &mut self.login.lock().unwrap().sealing {
            Some(sealing) => sealing.open(body),
            None => Err("there is no session".to_owned()),
        };
        let opened = match opened {
            Ok(opened) => opened,
            Err(reason) => {
                self.world.note(&format!("Refused: {reason}"));
                return Ok(plain(StatusCode::BAD_REQUEST, ""));
            }
        };
        self.world.note("Encrypted");
        let answer = self.serve(&opened).await?;
        let is_envelope = answer.headers().contains_key(CONTENT_TYPE);
        let (mut head, body) = answer.into_parts();
        let body = body.collect().await.map_err(|_| HangUp)?.to_bytes();
        if !is_envelope {
            return Ok(Response::from_parts(head, Full::new(body)));
        }
        let text = String::from_utf8(body.to_vec()).unwrap();
        let mut login = self.login.lock().unwrap();
        let sealed = login.sealing.as_mut().ok_or(HangUp)?.seal(&text);
        let kind = "multipart/encrypted;protocol=\"application/HTTP-SPNEGO-session-encrypted\";boundary=\"Encrypted Boundary\"";
        head.headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        Ok(Response::from_parts(head, Full::new(sealed.into())))
    }

    async fn serve(&self, body: &[u8]) -> Result<Answer, HangUp> {
        let world = &self.world;
        if body.len() > world.largest_request {
            return Ok(soap_answer(Err(Fault::TOO_LARGE), ""));
        }
        let parsed = std::str::from_utf8(body)
            .map_err(|error| error.to_string())
            .and_then(soap::parse);
        let request = match parsed {
            Ok(request) => request,
            Err(reason) => {
                world.note("Invalid");
                return Ok(envelope(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    soap::fault("", Fault::SCHEMA, &reason),
                ));
            }
        };
        let name = request.operation.name();
        world.note(name);
        world.options(&request.options);
        let id = request.message_id.clone();
        match world.trouble(name) {
            Some(Trouble::HangUp) => return Err(HangUp),
            Some(Trouble::Status(status, text)) => return Ok(plain(status, text)),
            Some(Trouble::Fault(fault)) => return Ok(soap_answer(Err(fault), &id)),
            Some(Trouble::HangUpAfter) => {
                let _ = world.shells.answer(request, world.longest_wait, &world.power).await;
                return Err(HangUp);
            }
            None => {}
        }
        Ok(soap_answer(
            world.shells.answer(request, world.longest_wait, &world.power).await,
            &id,
        ))
    }

    /// Who is it? Answers what must be sent unless that is settled.
    fn refuse_login(&self, authorization: Option<&HeaderValue>) -> Option<Answer> {
        let world = &self.world;
        let mut login = self.login.lock().unwrap();
        let Some(authorization) = authorization.and_then(|value| value.to_str().ok()) else {
            return (!login.accepted).then(|| self.unauthorized(None));
        };
        let (scheme, token) = authorization.split_once(' ').unwrap_or((authorization, ""));
        let (username, password) = world.credentials();
        if world.basic && scheme.eq_ignore_ascii_case("basic") {
            let right = STANDARD.encode(format!("{username}:{password}")) == token;
            return (!right).then(|| self.unauthorized(None));
        }
        if !world.ntlm || !(scheme.eq_ignore_ascii_case("negotiate") || scheme.eq_ignore_ascii_case("ntlm")) {
            return Some(self.unauthorized(None));
        }
        match login.handshake.take(token, &username, &password) {
            Ok(Step::Challenge(challenge)) => Some(self.unauthorized(Some(&format!("{scheme} {challenge}")))),
            Ok(Step::Accepted(session)) => {
                login.accepted = true;
                login.sealing = Some(Sealing::new(session));
                None
            }
            Err(reason) => {
                login.accepted = false;
                world.note(&format!("Refused: {reason}"));
                Some(self.unauthorized(None))
            }
        }
    }

    fn unauthorized(&self, challenge: Option<&str>) -> Answer {
        let mut answer = plain(StatusCode::UNAUTHORIZED, "");
        let offers = answer.headers_mut();
        if let Some(challenge) = challenge {
            offers.append(WWW_AUTHENTICATE, HeaderValue::from_str(challenge).unwrap());
            return answer;
        }
        self.world.note("Unauthorized");
        if self.world.ntlm {
            offers.append(WWW_AUTHENTICATE, HeaderValue::from_static("Negotiate"));
        }
        if self.world.basic {
            offers.append(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"WSMAN\""));
        }
        answer
    }
}

fn soap_answer(answer: Result<String, Fault>, relates_to: &str) -> Answer {
    match answer {
        Ok(text) => envelope(StatusCode::OK, text),
        Err(fault) => envelope(StatusCode::INTERNAL_SERVER_ERROR, soap::fault(relates_to, fault, "")),
    }
}

fn envelope(status: StatusCode, text: String) -> Answer {
    let mut answer = Response::new(Full::new(text.into()));
    *answer.status_mut() = status;
    let kind = HeaderValue::from_static("application/soap+xml;charset=UTF-8");
    answer.headers_mut().insert(CONTENT_TYPE, kind);
    answer
}

fn plain(status: StatusCode, text: &'static str) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from_static(text.as_bytes())));
    *answer.status_mut() = status;
    answer
}
