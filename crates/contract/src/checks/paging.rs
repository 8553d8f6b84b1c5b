//! Answers in pages: how they follow each other, and how many of them there are at most.

use super::expressions::{Expr, expression};
use crate::{
    codes,
    contract::{Paged, Paging, Read},
    files::reads::PagingFile,
    load::Project,
    problem::Finding,
    read::At,
};

/// How the pages of a read follow each other, and how many there are at most.
pub(crate) fn of_read(
    project: &Project,
    file: Option<&At<PagingFile>>,
    found: &mut Vec<Expr>,
) -> Option<(Paging, u32)> {
    let Some(file) = file else { return Some((Paging::None, 1)) };
    if let Some(items) = &file.items {
        let finding = Finding::error(codes::READ_PAGES, items.spot, "the items of a read stand beside `paging`");
        project.push(finding.help("move `items` out of `paging`"));
    }
    let pages = pages(project, file);
    Some((paging(project, file, found)?, pages))
}

/// How the pages of an operation follow each other. `counted`: its items are needed for more than to be counted.
#[expect(clippy::option_option, reason = "the outer says whether something is wrong, the inner whether it is there")]
pub(crate) fn of_operation(
    project: &Project,
    file: Option<&At<PagingFile>>,
    found: &mut Vec<Expr>,
) -> Option<Option<Paged>> {
    let Some(file) = file else { return Some(None) };
    let by = paging(project, file, found);
    let pages = pages(project, file);
    let items = match &file.items {
        None => None,
        Some(items) => {
            let expr = expression(project, items, &[])?;
            found.push(Expr { of_item: true, ..expr.clone() });
            Some(expr.program)
        }
    };
    Some(Some(Paged { by: by?, pages, items }))
}

fn pages(project: &Project, file: &At<PagingFile>) -> u32 {
    let pages = file.pages.as_ref().map_or(Read::PAGES, |pages| pages.value);
    if let Some(at) = file.pages.as_ref().filter(|pages| !(1..=Read::PAGES_MAX).contains(&pages.value)) {
        let finding = Finding::error(codes::READ_PAGES, at.spot, format!("{pages} pages of one answer"));
        project.push(finding.expected("1 to 10000").help("correct the number; 100 is the default"));
    }
    pages
}

fn paging(project: &Project, file: &At<PagingFile>, found: &mut Vec<Expr>) -> Option<Paging> {
    let mut over_answer = |text: &At<String>| {
        let expr = expression(project, text, &[])?;
        found.push(Expr { of_item: true, ..expr.clone() });
        Some(expr.program)
    };
    match (&file.next, &file.link, &file.token, &file.size) {
        (Some(next), None, None, None) => over_answer(next).map(Paging::Next),
        (None, None, Some(token), None) => over_answer(token).map(Paging::Token),
        (None, Some(link), None, None) => {
            let is_relation =
                !link.is_empty() && link.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._:/".contains(&b));
            if !is_relation {
                let finding = Finding::error(codes::READ_PAGES, link.spot, "this is no relation of a `Link` header");
                project.push(finding.expected("`link: next`").help("write what stands behind `rel=` in the header"));
            }
            is_relation.then(|| Paging::Link(link.value.to_ascii_lowercase()))
        }
        (None, None, None, Some(size)) if size.value > 0 => Some(Paging::Size(size.value)),
        (None, None, None, Some(size)) => {
            let finding = Finding::error(codes::READ_PAGES, size.spot, "a page without items is the last one");
            project.push(finding.expected("1 or more").help("write how many items the system puts on a page"));
            None
        }
        _ => {
            let finding = Finding::error(codes::READ_PAGES, file.spot, "how pages follow each other is not said");
            project.push(
                finding
                    .expected(
                        "`next: ${ ... }` for an address, `token: ${ ... }`, `link: next` for the header `Link`, or \
                         `size: 200` for numbered pages",
                    )
                    .help("keep one of them"),
            );
            None
        }
    }
}
