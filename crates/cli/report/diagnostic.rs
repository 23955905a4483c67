//! Diagnostics as text: the summary, the place with its source line underlined, detail and remedy.

use std::fmt::Write as _;
use std::ops::Range;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{Annotation, AnnotationKind, Group, Level, Renderer, Snippet};
use bakelite_engine::untrusted::{coloured, visible};
use bakelite_hcl::diagnostic::{Diagnostic, Diagnostics, Severity};
use bakelite_hcl::source::{Place, SourceMap, SourceText};
use bakelite_template::secrets::Secrets;

/// How many lines are shown around a place.
const CONTEXT: usize = 0;
/// A place with more lines than this is shown by its first lines.
const MOST_LINES: usize = 6;

/// Renders diagnostics one after another, secrets masked; empty text for none.
pub(crate) fn render(diagnostics: &Diagnostics, sources: &SourceMap, secrets: &Secrets, color: bool) -> String {
    let renderer = if color { Renderer::styled() } else { Renderer::plain() }.decor_style(DecorStyle::Ascii);
    let mut text = String::new();
    for diagnostic in diagnostics {
        let one = secrets.mask(&renderer.render(&groups(&legible(diagnostic, secrets), sources)));
        // Writing to a `String` cannot fail.
        let _ = writeln!(text, "{}\n", if color { coloured(&one) } else { visible(&one) });
    }
    text
}

/// The same, secrets masked, with nothing in it that a terminal acts on: colours are the renderer's alone.
fn legible(diagnostic: &Diagnostic, secrets: &Secrets) -> Diagnostic {
    let mut diagnostic = diagnostic.clone();
    let related = diagnostic.related.iter_mut().map(|(_, what)| what);
    let texts = [&mut diagnostic.summary, &mut diagnostic.detail].into_iter();
    for text in texts.chain(&mut diagnostic.help).chain(related) {
        *text = visible(&secrets.mask(text)).into_owned();
    }
    diagnostic
}

fn groups<'a>(diagnostic: &'a Diagnostic, sources: &'a SourceMap) -> Vec<Group<'a>> {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let mut main = level.primary_title(diagnostic.summary.as_str()).elements(
        diagnostic
            .place
            .and_then(|place| snippet(place, AnnotationKind::Primary, None, sources)),
    );
    for (place, what) in &diagnostic.related {
        main = main.elements(snippet(*place, AnnotationKind::Context, Some(what), sources));
    }
    if !diagnostic.detail.is_empty() {
        main = main.element(Level::NOTE.message(diagnostic.detail.as_str()));
    }
    if let Some(help) = &diagnostic.help {
        main = main.element(Level::HELP.message(help.as_str()));
    }
    vec![main]
}

fn snippet<'a>(
    place: Place,
    kind: AnnotationKind,
    label: Option<&'a str>,
    sources: &'a SourceMap,
) -> Option<Snippet<'a, Annotation<'a>>> {
    let source = sources.get(place.file)?;
    let window = Window::around(source, place);
    let text = source.text.get(window.bytes.clone())?;
    let annotation = kind.span(window.span).label(label);
    Some(
        Snippet::source(text)
            .path(source.name.as_str())
            .line_start(window.first_line)
            .fold(false)
            .annotation(annotation),
    )
}

/// The lines of a text that are shown for a place: a large file is not handed to the renderer whole.
struct Window {
    first_line: usize,
    bytes: Range<usize>,
    span: Range<usize>,
}

impl Window {
    fn around(source: &SourceText, place: Place) -> Window {
        let text = source.text.as_str();
        let start = text.floor_char_boundary((place.start as usize).min(text.len()));
        let end = text.floor_char_boundary((place.end as usize).clamp(start, text.len()));
        let first_line = source.line_column(start).line.saturating_sub(CONTEXT).max(1);
        let line_start = text
            .get(..start)
            .and_then(|before| before.rfind('\n'))
            .map_or(0, |at| at + 1);
        let after = text.get(start..).unwrap_or_default();
        let most = after
            .match_indices('\n')
            .nth(MOST_LINES - 1)
            .map_or(text.len(), |(at, _)| start + at);
        let end = end.min(most);
        let line_end = text
            .get(end..)
            .and_then(|after| after.find('\n'))
            .map_or(text.len(), |at| end + at)
            .max(end);
        Window {
            first_line,
            bytes: line_start..line_end,
            span: start - line_start..end - line_start,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_is_file_line_column() {
        let mut sources = SourceMap::default();
        let first = sources.add("a.pkr.hcl", "variable \"x\" {}\n");
        let second = sources.add("b.pkr.hcl", "\n  variable \"x\" {}\n");
        let diagnostics = Diagnostic::error(Place::new(second, 3..15), "variable `x` is declared twice")
            .detail("One name stands for one variable.")
            .help("rename one of them".to_owned())
            .related(Place::new(first, 0..12), "first here");
        insta::assert_snapshot!(render(&diagnostics.into(), &sources, &Secrets::default(), false));
    }

    #[test]
    fn a_secret_in_the_source_line_is_masked() {
        let mut sources = SourceMap::default();
        let file = sources.add("a.pkr.hcl", "password = \"hunter22\"\n");
        let diagnostics = Diagnostic::error(Place::new(file, 0..8), "`password` is `hunter22`");
        let mut secrets = Secrets::default();
        secrets.hide("hunter22");
        let text = render(&diagnostics.into(), &sources, &secrets, false);
        assert!(!text.contains("hunter22"), "{text}");
    }
}
