//! Diagnostics for machines: `validate -json`. The fields are a promise; docs/guide/diagnostics.md makes it.

use bakelite_hcl::diagnostic::{Diagnostic, Diagnostics, Severity};
use bakelite_hcl::source::{Place, SourceMap};
use bakelite_template::secrets::Secrets;
use serde_json::{Value as Json, json};

/// Fields may be added under the same version, none is removed or changed.
const FORMAT_VERSION: &str = "1.0";

/// All diagnostics as one JSON object, secrets masked.
pub(crate) fn render(diagnostics: &Diagnostics, sources: &SourceMap, secrets: &Secrets) -> String {
    let count = |severity| diagnostics.iter().filter(|one| one.severity == severity).count();
    let writing = Writing { sources, secrets };
    let object = json!({
        "format_version": FORMAT_VERSION,
        "valid": !diagnostics.has_errors(),
        "error_count": count(Severity::Error),
        "warning_count": count(Severity::Warning),
        "diagnostics": diagnostics.iter().map(|one| writing.diagnostic(one)).collect::<Vec<_>>(),
    });
    format!("{object:#}\n")
}

struct Writing<'a> {
    sources: &'a SourceMap,
    secrets: &'a Secrets,
}

impl Writing<'_> {
    fn diagnostic(&self, diagnostic: &Diagnostic) -> Json {
        let severity = match diagnostic.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        let related = diagnostic.related.iter().map(|(place, what)| {
            let (file, region) = self.location(Some(*place));
            json!({ "message": self.text(what), "file": file, "region": region })
        });
        let (file, region) = self.location(diagnostic.place);
        json!({
            "severity": severity,
            "summary": self.text(&diagnostic.summary),
            "detail": self.text(&diagnostic.detail),
            "help": diagnostic.help.as_deref().map(|help| self.text(help)),
            "file": file,
            "region": region,
            "related": related.collect::<Vec<_>>(),
        })
    }

    /// File and region, both null for what stands in no text.
    fn location(&self, place: Option<Place>) -> (Json, Json) {
        let found = place.and_then(|place| Some((place, self.sources.get(place.file)?)));
        let Some((place, source)) = found else {
            return (Json::Null, Json::Null);
        };
        let start = source.line_column(place.start as usize);
        let end = source.line_column(place.end as usize);
        let region = json!({
            "startLine": start.line,
            "startColumn": start.column,
            "endLine": end.line,
            "endColumn": end.column,
            "byteOffset": place.start,
            "byteLength": place.end - place.start,
            "snippet": self.text(source.line(start.line)),
        });
        (json!(source.name), region)
    }

    fn text(&self, text: &str) -> String {
        self.secrets.mask(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_stable() {
        let mut sources = SourceMap::default();
        let file = sources.add(
            "t.pkr.hcl",
            "variable \"é\" {}\nvariable \"é\" { default = \"pass\" }\n",
        );
        let diagnostics: Diagnostics = Diagnostic::error(Place::new(file, 26..30), "variable `é` is declared twice")
            .detail("Its value would be `pass`.")
            .help("rename one of them".to_owned())
            .related(Place::new(file, 0..13), "first here")
            .into();
        let mut all = diagnostics;
        all.push(Diagnostic::warning(None, "nothing is baked"));
        let mut secrets = Secrets::default();
        secrets.hide("pass");
        insta::assert_snapshot!(render(&all, &sources, &secrets));
    }
}
