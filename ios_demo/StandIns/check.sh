#!/usr/bin/env bash
# Type-checks the sources for Apple's systems on Linux: `check.sh BUILD_FOLDER`, in the Swift toolchain's environment.
#
# Apple's frameworks are not there, so the modules of this folder stand in for them: the declarations that the app uses,
# written by hand after Apple's documentation, without any behaviour. A name or a type that the app gets wrong of its own
# core is found; whether the frameworks are as written here, only Xcode tells.
set -euo pipefail

demo="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
modules="$1"
mkdir -p "$modules"

# module NAME FILES...: made anew only where a source is newer.
module() {
  local made="$modules/$1.swiftmodule"
  [[ -f "$made" && -z "$(find "${@:2}" -newer "$made" -print -quit)" ]] ||
    swiftc -swift-version 5 -parse-as-library -emit-module -module-name "$1" -I "$modules" -o "$made" "${@:2}"
}

# In the order of their imports.
for name in CoreGraphics CoreVideo CoreImage CoreML Vision CoreMedia QuartzCore AVFoundation UIKit Combine SwiftUI \
  PhotosUI; do
  module "$name" "$demo/StandIns/$name.swift"
done
module MobileSeg "$demo"/MobileSegKit/Sources/MobileSeg/*.swift
module MobileSegCoreML "$demo"/MobileSegKit/Sources/MobileSegCoreML/*.swift
swiftc -swift-version 5 -parse-as-library -typecheck -warnings-as-errors -module-name App -I "$modules" "$demo"/App/*.swift
