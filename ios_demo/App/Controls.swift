import MobileSeg
import PhotosUI
import SwiftUI

/// Camera, picture, stop, measure.
struct SourceControls: View {
  @EnvironmentObject private var demo: Demo
  @State private var picked: PhotosPickerItem?

  var body: some View {
    HStack {
      if demo.source?.isLive == true {
        Button("Stop", systemImage: "stop.fill") { demo.stop() }
      } else {
        Button("Camera", systemImage: "camera") { Task { await demo.openCamera() } }
      }
      PhotosPicker(selection: $picked, matching: .images) { Label("Picture", systemImage: "photo") }
      Spacer()
      Button("Measure", systemImage: "stopwatch") { Task { await demo.measure() } }
        .disabled(demo.source?.isLive != false)
    }
    .buttonStyle(.bordered)
    .disabled(!demo.status.isEmpty)
    .onChange(of: picked) { item in
      guard let item else { return }
      picked = nil  // so that the same picture can be chosen again
      Task { await demo.openPicture { try await item.loadTransferable(type: Data.self) } }
    }
  }
}

/// Which model, and what runs it.
struct ModelControls: View {
  @EnvironmentObject private var demo: Demo

  var body: some View {
    VStack(alignment: .leading, spacing: 8) {
      LabeledContent("Model") {
        Picker("Model", selection: model) {
          if demo.entry == nil { Text("none").tag(String?.none) }
          ForEach(demo.entries) { entry in Text(entry.label).tag(String?.some(entry.file)) }
        }
        .labelsHidden()
      }
      LabeledContent("Runs on") {
        Picker("Runs on", selection: units) {
          ForEach(ComputeUnits.allCases) { one in Text(one.name).tag(one) }
        }
        .labelsHidden()
      }
      if let manifest = demo.manifest { facts(manifest) }
    }
    .pickerStyle(.menu)
    .disabled(!demo.status.isEmpty)
  }

  private var model: Binding<String?> {
    Binding(
      get: { demo.entry?.file },
      set: { file in
        if let file { Task { await demo.choose(file) } }
      })
  }

  private var units: Binding<ComputeUnits> {
    Binding(get: { demo.units }, set: { chosen in Task { await demo.choose(chosen) } })
  }

  private func facts(_ manifest: Manifest) -> some View {
    let (input, output) = (manifest.input, manifest.output)
    let size = ByteCountFormatter.string(fromByteCount: Int64(demo.entry?.bytes ?? 0), countStyle: .file)
    return Text(
      "\(manifest.precision), input \(input.width) × \(input.height), \(output.kind.rawValue) "
        + "\(output.width) × \(output.height), \(manifest.classes.count) classes, \(size)"
    )
    .font(.footnote)
    .foregroundStyle(.secondary)
  }
}
