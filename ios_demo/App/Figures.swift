import MobileSeg
import SwiftUI

/// The classes in their colours, and how much of the frame each takes.
struct LegendView: View {
  let manifest: Manifest
  /// Empty before the first frame.
  let shares: [Double]

  var body: some View {
    LazyVGrid(columns: [GridItem(.adaptive(minimum: 150), alignment: .leading)], alignment: .leading, spacing: 4) {
      ForEach(manifest.classes.indices, id: \.self) { label in
        HStack {
          RoundedRectangle(cornerRadius: 3)
            .fill(Color(manifest.palette[label]))
            .frame(width: 16, height: 16)
          Text(manifest.classes[label])
          Spacer()
          Text(share(of: label)).monospacedDigit()
        }
        .font(.footnote)
        .accessibilityElement(children: .combine)
      }
    }
  }

  private func share(of label: Int) -> String {
    label < shares.count ? String(format: "%.1f %%", 100 * shares[label]) : "–"
  }
}

/// What each stage of a frame takes.
struct TimingView: View {
  let summary: Timing.Summary?

  var body: some View {
    VStack(alignment: .leading, spacing: 4) {
      ForEach(Stage.allCases, id: \.self) { stage in
        row(stage.rawValue, summary?.stages[stage])
          .accessibilityHint(stage.what)
      }
      row("total", summary?.total)
      Text(basis).foregroundStyle(.secondary)
    }
    .font(.footnote)
  }

  private func row(_ name: String, _ milliseconds: Double?) -> some View {
    HStack {
      Text(name)
      Spacer()
      Text(milliseconds.map { String(format: "%.2f ms", $0) } ?? "–").monospacedDigit()
    }
  }

  private var basis: String {
    guard let summary else { return "no frame yet" }
    return summary.count == 1 ? "one frame" : "medians of the last \(summary.count) frames"
  }
}

extension Color {
  fileprivate init(_ colour: Colour) {
    self.init(red: Double(colour.red) / 255, green: Double(colour.green) / 255, blue: Double(colour.blue) / 255)
  }
}
