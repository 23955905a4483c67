//! The `http` data source: the answer to one HTTP request.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use bakelite_engine::data_source::DataSource;
use bakelite_engine::error::{Error, Explain};
use bakelite_engine::provisioner::RunContext;
use bakelite_engine::registry::{Make, Registration, read_options};
use bakelite_hcl::types::Type;
use bakelite_hcl::value::Value;
use bakelite_template::component::{Complaint, Yields};
use bakelite_template::decode::Decoded;
use bakelite_template::schema::Schema;
use schemars::JsonSchema;
use serde::Deserialize;

use bakelite_net::fetch::{HttpError, Sending, Trust, send};

pub(crate) const REGISTRATION: Registration = Registration::plain(
    "http",
    "Sends one HTTP request; its answer is data. An answer other than 2xx is an error. It is sent through the \
              [environment's proxy](../network.md), if there is one.",
    Schema::of::<HttpOptions>,
    Make::DataSource(make),
)
.yielding(Yields::Data(output));

fn output() -> Type {
    Type::object([
        ("url", Type::String),
        ("body", Type::String),
        // So named in every template there is; they are the answer's headers.
        ("request_headers", Type::map(Type::String)),
    ])
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
struct HttpOptions {
    /// Where the request goes: `http://` or `https://`.
    url: String,
    /// The method of the request.
    #[serde(default)]
    method: Method,
    /// Headers to send besides those that every request has.
    #[serde(default)]
    request_headers: BTreeMap<String, String>,
    /// The body to send; without it, none is sent.
    #[serde(default)]
    request_body: String,
}

#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
enum Method {
    Head,
    #[default]
    Get,
    Post,
    Put,
    Delete,
    Options,
    Patch,
}

impl Method {
    fn name(self) -> &'static str {
        match self {
            Method::Head => "HEAD",
            Method::Get => "GET",
            Method::Post => "POST",
            Method::Put => "PUT",
            Method::Delete => "DELETE",
            Method::Options => "OPTIONS",
            Method::Patch => "PATCH",
        }
    }
}

struct Http {
    options: HttpOptions,
}

/// Why there is no answer, with the option that it is about.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
struct ReadError(#[from] HttpError);

impl Explain for ReadError {
    fn help(&self) -> Option<Cow<'_, str>> {
        self.0.help().map(Cow::Owned)
    }

    fn option(&self) -> Option<Cow<'_, str>> {
        let option = match &self.0 {
            HttpError::Header { .. } => "request_headers",
            _ => "url",
        };
        Some(option.into())
    }
}

fn make(decoded: &Decoded, complaints: &mut Vec<Complaint>) -> Option<Box<dyn DataSource>> {
    let options: HttpOptions = read_options(decoded, complaints)?;
    Some(Box::new(Http { options }))
}

#[async_trait]
impl DataSource for Http {
    async fn read(&self, run: &RunContext) -> Result<Value, Error> {
        let options = &self.options;
        let sending = Sending {
            method: options.method.name(),
            url: options.url.clone(),
            headers: options.request_headers.clone(),
            body: options.request_body.clone(),
            trust: Trust::System,
        };
        let answer = send(sending, Arc::clone(&run.environment)).await.map_err(ReadError)?;
        let headers = answer
            .headers
            .iter()
            .map(|(name, value)| (canonical(name), Value::string(value)));
        Ok(Value::object([
            ("url", Value::string(&options.url)),
            ("body", Value::string(&answer.body)),
            ("request_headers", Value::map(Type::String, headers)),
        ]))
    }
}

/// A header's name as templates index it: `Content-Type`, however the server wrote it.
fn canonical(name: &str) -> String {
    let word = |word: &str| {
        let (first, rest) = word.split_at_checked(1).unwrap_or((word, ""));
        first.to_ascii_uppercase() + &rest.to_ascii_lowercase()
    };
    let words: Vec<String> = name.split('-').map(word).collect();
    words.join("-")
}

#[cfg(test)]
mod tests {
    use super::*;
    use bakelite_test_support::exchange::Exchange;

    async fn read(options: HttpOptions) -> Result<Value, Error> {
        let run = RunContext {
            id: String::new(),
            working_directory: "/".into(),
            temporary_directory: "/tmp".into(),
            home_directory: None,
            force: false,
            debug: false,
            environment: Arc::default(),
            private_files: bakelite_engine::private_file::PrivateFiles::default(),
        };
        Http { options }.read(&run).await
    }

    #[tokio::test]
    async fn the_request_is_as_the_options_say_and_the_answer_is_data() {
        let exchange = Exchange::play(&["HTTP/1.1 201 Created\nx-part: a\nX-Part: b\n\n{\"made\":true}"]);
        let url = format!("http://{}/new?kind=image", exchange.address);
        let options = HttpOptions {
            url: url.clone(),
            method: Method::Post,
            request_headers: BTreeMap::from([("Accept".into(), "application/json".into())]),
            request_body: "{}".into(),
        };
        let value = read(options).await.unwrap();
        assert_eq!(value.attribute("url").unwrap().as_str(), Some(url.as_str()));
        assert_eq!(value.attribute("body").unwrap().as_str(), Some("{\"made\":true}"));
        let headers = value.attribute("request_headers").unwrap();
        assert_eq!(headers.attribute("X-Part").unwrap().as_str(), Some("a, b"));
        assert_eq!(value.type_of(), output());
        let asked = exchange.asked();
        assert!(asked[0].starts_with("POST /new?kind=image HTTP/1.1\n"), "{asked:?}");
        assert!(asked[0].contains("accept: application/json\n"), "{asked:?}");
        assert!(asked[0].ends_with("\n\n{}"), "{asked:?}");
    }

    #[tokio::test]
    async fn a_body_is_sent_with_any_method() {
        let exchange = Exchange::play(&["HTTP/1.1 200 OK\n\nfound"]);
        let options = HttpOptions {
            url: format!("http://{}/_search", exchange.address),
            request_body: "query".into(),
            ..HttpOptions::default()
        };
        read(options).await.unwrap();
        let asked = exchange.asked();
        assert!(
            asked[0].starts_with("GET /_search ") && asked[0].ends_with("\n\nquery"),
            "{asked:?}"
        );
    }

    #[tokio::test]
    async fn an_answer_that_is_no_success_is_an_error() {
        let exchange = Exchange::play(&["HTTP/1.1 503 Service Unavailable\n\nlater"]);
        let options = HttpOptions {
            url: format!("http://{}/a?token=t", exchange.address),
            ..HttpOptions::default()
        };
        let address = exchange.address.clone();
        let error = read(options).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("`GET http://{address}/a?…` was answered with 503 Service Unavailable")
        );
        exchange.asked();
    }
}
