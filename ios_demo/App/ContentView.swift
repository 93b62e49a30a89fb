import MobileSeg
import SwiftUI

struct ContentView: View {
  @EnvironmentObject private var demo: Demo
  @State private var opacity = 0.6

  var body: some View {
    VStack(spacing: 0) {
      ScreenView(screen: demo.screen, opacity: opacity)
        .overlay(alignment: .topLeading) { FrameRate(summary: demo.summary) }
        .overlay(alignment: .bottom) { Messages() }
        .frame(maxHeight: .infinity)
      ScrollView {
        VStack(alignment: .leading, spacing: 16) {
          SourceControls()
          ModelControls()
          LabeledContent("Opacity") { Slider(value: $opacity, in: 0...1) }
          if let manifest = demo.manifest { LegendView(manifest: manifest, shares: demo.shares) }
          TimingView(summary: demo.summary)
        }
        .padding()
      }
      .frame(maxHeight: 320)
    }
    .preferredColorScheme(.dark)
  }
}

/// What goes on, what to know, and what went wrong.
private struct Messages: View {
  @EnvironmentObject private var demo: Demo

  var body: some View {
    VStack(alignment: .leading, spacing: 8) {
      if !demo.status.isEmpty {
        HStack {
          ProgressView()
          Text(demo.status)
        }
      }
      if !demo.notice.isEmpty { Text(demo.notice).foregroundStyle(.yellow) }
      if !demo.error.isEmpty {
        HStack(alignment: .top) {
          Text(demo.error)
          Spacer()
          Button("Dismiss") { demo.error = "" }
        }
        .foregroundStyle(.orange)
        .accessibilityAddTraits(.isStaticText)
      }
    }
    .font(.footnote)
    .frame(maxWidth: .infinity, alignment: .leading)
    .padding(8)
    .background(.black.opacity(0.6))
    .opacity(demo.status.isEmpty && demo.notice.isEmpty && demo.error.isEmpty ? 0 : 1)
  }
}

private struct FrameRate: View {
  let summary: Timing.Summary?

  var body: some View {
    if let summary, summary.count > 1 {
      Text(String(format: "%.1f frames/s", summary.framesPerSecond))
        .font(.headline.monospacedDigit())
        .padding(8)
        .background(.black.opacity(0.6))
    }
  }
}
