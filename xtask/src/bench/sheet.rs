//! All figures of one run: as a table and as a picture.

use std::fmt::Write as _;

use super::figure::{Beside, Figure, Kind};

/// The table: each figure with its target and how often it is as good as what stands beside it.
pub(super) fn table(figures: &[Figure]) -> String {
    let mut text = format!("{:<11}{:<58}{:>12}  {:<18}{}\n", "bench", "figure", "andon", "target", "beside it");
    let mut bench = "";
    for figure in figures {
        let shown = if figure.bench == bench { "" } else { figure.bench.as_str() };
        bench = &figure.bench;
        let target = figure.target.map_or_else(String::new, |target| {
            let verdict = if figure.is_met() == Some(true) { "met" } else { "MISSED" };
            format!("{} {:<8}{verdict}", if figure.less { "<=" } else { ">=" }, short(target))
        });
        let beside: Vec<String> = figure.beside.iter().map(|beside| told(figure, beside)).collect();
        let row =
            format!("{shown:<11}{:<58}{:>12}  {target:<18}{}", figure.name, short(figure.value), beside.join("; "));
        let _ = writeln!(text, "{}", row.trim_end());
    }
    text
}

fn told(figure: &Figure, beside: &Beside) -> String {
    let times = figure.times(beside.value);
    let of = match beside.kind {
        Kind::Rival => "",
        Kind::Earlier => " (earlier)",
        Kind::Limit => " (limit)",
    };
    format!("{:.2}x {} {}{of}", times, beside.name, short(beside.value))
}

/// A number in few characters.
fn short(value: f64) -> String {
    match value.abs() {
        size if size >= 10_000_000.0 => format!("{:.1}M", value / 1e6),
        size if size >= 100_000.0 => format!("{:.0}k", value / 1e3),
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

const WIDTH: f64 = 1_040.0;
const ROW: f64 = 24.0;
const TOP: f64 = 64.0;
/// Where names end and the scale begins and ends.
const LEFT: f64 = 470.0;
const RIGHT: f64 = 960.0;
/// The scale: from a hundredth of the target to a hundred times.
const DECADES: f64 = 2.0;

/// The picture: for each figure how often it is as good as its target (or, without one, as what stands beside it),
/// on a scale of powers of ten; to the right is better.
pub(super) fn picture(figures: &[Figure], setting: &str) -> String {
    let shown: Vec<&Figure> = figures.iter().filter(|figure| base(figure).is_some()).collect();
    let height = TOP + ROW * f64::from(u32::try_from(shown.len()).unwrap_or(0)) + 44.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH:.0} {height:.0}\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n<text x=\"16\" y=\"24\" \
         font-size=\"15\" font-weight=\"bold\">Measured, as a multiple of what is to be reached</text>\n<text x=\"16\" \
         y=\"42\" fill=\"#555555\">{}</text>\n",
        escaped(setting)
    );
    let bottom = height - 40.0;
    for (times, name) in [(0.01, "1/100"), (0.1, "1/10"), (1.0, "1"), (10.0, "10x"), (100.0, "100x")] {
        let (x, line) = (place(times), if (times - 1.0_f64).abs() < f64::EPSILON { "#222222" } else { "#dddddd" });
        let _ = writeln!(
            svg,
            "<line x1=\"{x:.1}\" y1=\"{TOP:.0}\" x2=\"{x:.1}\" y2=\"{bottom:.0}\" stroke=\"{line}\"/>\
             <text x=\"{x:.1}\" y=\"{:.0}\" text-anchor=\"middle\" fill=\"#555555\">{name}</text>",
            TOP - 6.0
        );
    }
    for (nth, figure) in (0_u32..).zip(&shown) {
        row(&mut svg, figure, TOP + ROW * f64::from(nth) + ROW / 2.0);
    }
    let y = height - 14.0;
    let _ = writeln!(
        svg,
        "<circle cx=\"24\" cy=\"{:.0}\" r=\"5\" fill=\"#1b7f4b\"/><text x=\"34\" y=\"{y:.0}\">Andon, reached</text>\
         <circle cx=\"150\" cy=\"{:.0}\" r=\"5\" fill=\"#c0392b\"/><text x=\"160\" y=\"{y:.0}\">Andon, missed</text>\
         <circle cx=\"276\" cy=\"{:.0}\" r=\"4\" fill=\"none\" stroke=\"#1f5fa8\" stroke-width=\"2\"/>\
         <text x=\"286\" y=\"{y:.0}\">a rival</text>\
         <path d=\"M362 {:.0} v12\" stroke=\"#8a5a00\" stroke-width=\"3\"/>\
         <text x=\"370\" y=\"{y:.0}\">what the machine allows</text>\n</svg>",
        y - 4.0,
        y - 4.0,
        y - 4.0,
        y - 10.0
    );
    svg
}

/// What is 1 on the scale.
fn base(figure: &Figure) -> Option<f64> {
    figure.target.or_else(|| figure.beside.first().map(|beside| beside.value)).filter(|base| *base > 0.0)
}

fn row(svg: &mut String, figure: &Figure, y: f64) {
    let Some(base) = base(figure) else { return };
    let colour = if figure.is_met() == Some(false) { "#c0392b" } else { "#1b7f4b" };
    let x = place(figure.times(base));
    let _ = writeln!(
        svg,
        "<text x=\"16\" y=\"{:.1}\"><tspan fill=\"#777777\">{}</tspan> {}</text><line x1=\"{:.1}\" y1=\"{y:.1}\" \
         x2=\"{x:.1}\" y2=\"{y:.1}\" stroke=\"{colour}\" stroke-width=\"3\"/>",
        y + 4.0,
        escaped(&figure.bench),
        escaped(&figure.name),
        place(1.0)
    );
    for beside in &figure.beside {
        // As good as the figure would be with the other's value.
        let at = place(Figure { value: beside.value, ..figure.clone() }.times(base));
        let title = escaped(&format!("{}: {}", beside.name, short(beside.value)));
        let _ = match beside.kind {
            Kind::Limit => writeln!(
                svg,
                "<path d=\"M{at:.1} {:.1} v12\" stroke=\"#8a5a00\" stroke-width=\"3\"><title>{title}</title></path>",
                y - 6.0
            ),
            Kind::Rival | Kind::Earlier => writeln!(
                svg,
                "<circle cx=\"{at:.1}\" cy=\"{y:.1}\" r=\"4\" fill=\"none\" stroke=\"#1f5fa8\" stroke-width=\"2\">\
                 <title>{title}</title></circle>"
            ),
        };
    }
    let _ = writeln!(
        svg,
        "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"5\" fill=\"{colour}\"/><text x=\"{:.0}\" y=\"{:.1}\" \
         text-anchor=\"end\">{}</text>",
        WIDTH - 12.0,
        y + 4.0,
        short(figure.value)
    );
}

/// Where so many times the target lies.
fn place(times: f64) -> f64 {
    let decades = times.max(1e-9).log10().clamp(-DECADES, DECADES);
    LEFT + (decades + DECADES) / (2.0 * DECADES) * (RIGHT - LEFT)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures() -> Vec<Figure> {
        vec![
            Figure::more("workflow", "runs/s at 64 in flight", 1_731.0).held_to(1_500.0).beside(
                Kind::Earlier,
                "Restate",
                310.0,
            ),
            Figure::less("workflow", "p50 at 1 in flight, ms", 6.2).held_to(5.0),
            Figure::more("listener", "acknowledged/s", 200_000.0).beside(Kind::Limit, "bare", 400_000.0),
        ]
    }

    #[test]
    fn the_table_says_what_is_met_and_how_often_as_good() {
        let table = table(&figures());
        let line = |name: &str| table.lines().find(|line| line.contains(name)).unwrap();
        assert!(line("runs/s").contains(">= 1500    met") && line("runs/s").ends_with("5.58x Restate 310 (earlier)"));
        assert!(line("p50").ends_with("<= 5.00    MISSED"), "{table}");
        assert!(line("acknowledged").ends_with("0.50x bare 400k (limit)"), "{table}");
    }

    #[test]
    fn the_picture_has_a_place_for_each_figure() {
        let svg = picture(&figures(), "2 cores & a disk");
        assert_eq!(svg.matches("r=\"5\"").count(), 3 + 2, "{svg}");
        assert!(svg.contains("2 cores &amp; a disk") && svg.ends_with("</svg>\n"));
        assert!((place(1.0) - f64::midpoint(LEFT, RIGHT)).abs() < 1e-9 && place(1e9) <= RIGHT);
    }
}
