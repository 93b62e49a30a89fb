// swift-tools-version: 5.9
import PackageDescription

// The core and one library per runtime. Core ML is there on Apple's systems, LiteRT's C library (libLiteRt.so, from
// PyPI's ai-edge-litert) where the package is tested on Linux; each is left out where the other is.
#if os(Linux)
  let runtime = "MobileSegLiteRT"
  let runtimeTargets: [Target] = [
    .systemLibrary(name: "CLiteRT"),
    .target(name: "MobileSegLiteRT", dependencies: ["MobileSeg", "CLiteRT"]),
    .executableTarget(name: "measure", dependencies: ["MobileSegLiteRT"]),
    .testTarget(name: "MobileSegLiteRTTests", dependencies: ["MobileSegLiteRT"]),
  ]
#else
  let runtime = "MobileSegCoreML"
  let runtimeTargets: [Target] = [
    .target(name: "MobileSegCoreML", dependencies: ["MobileSeg"])
  ]
#endif

let package = Package(
  name: "MobileSegKit",
  platforms: [.iOS(.v16), .macOS(.v13)],
  products: [
    .library(name: "MobileSeg", targets: ["MobileSeg"]),
    .library(name: runtime, targets: [runtime]),
  ],
  targets: [
    .target(name: "MobileSeg"),
    .testTarget(name: "MobileSegTests", dependencies: ["MobileSeg"]),
  ] + runtimeTargets
)
