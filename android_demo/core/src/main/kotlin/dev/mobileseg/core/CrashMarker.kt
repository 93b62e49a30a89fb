package dev.mobileseg.core

import java.io.File

/**
 * A driver may take the process down with it. What is tried is noted before, and forgotten after it went well or failed
 * in an orderly way; what is found at the next start took the process down.
 */
class CrashMarker(
    private val file: File,
) {
    fun set(delegate: Delegate) {
        file.parentFile?.mkdirs()
        file.writeText(delegate.id)
    }

    fun clear() {
        file.delete()
    }

    /** The delegate that was starting when the process ended, or null. A garbled marker names the GPU. */
    fun found(): Delegate? {
        if (!file.exists()) return null
        val id = file.readText().trim()
        return Delegate.entries.firstOrNull { it.id == id } ?: Delegate.GPU
    }
}
