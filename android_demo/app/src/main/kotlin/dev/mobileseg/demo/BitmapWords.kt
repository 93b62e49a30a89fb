package dev.mobileseg.demo

import android.graphics.Bitmap
import android.graphics.Color
import java.nio.IntBuffer

private const val BYTE = 0xff

/**
 * A bitmap's memory, in one copy each way, as words whose bytes are R, G, B, A.
 *
 * That is how Android documents it. It is looked at all the same: Skia on desktops, on which tests run, has B first.
 */
object BitmapWords {
    private val redFirst: Boolean

    init {
        val red = Bitmap.createBitmap(1, 1, Bitmap.Config.ARGB_8888).apply { eraseColor(Color.RED) }
        redFirst = IntArray(1).also { red.copyPixelsToBuffer(IntBuffer.wrap(it)) }[0] and BYTE == BYTE
    }

    fun read(
        bitmap: Bitmap,
        words: IntArray,
    ) {
        bitmap.copyPixelsToBuffer(IntBuffer.wrap(words))
        if (!redFirst) for (at in words.indices) words[at] = swapped(words[at])
    }

    fun write(
        words: IntArray,
        bitmap: Bitmap,
    ) {
        val ordered = if (redFirst) words else IntArray(words.size) { swapped(words[it]) }
        bitmap.copyPixelsFromBuffer(IntBuffer.wrap(ordered))
    }

    private fun swapped(word: Int) = word and 0xff00ff00.toInt() or (word and BYTE shl 16) or (word ushr 16 and BYTE)
}
