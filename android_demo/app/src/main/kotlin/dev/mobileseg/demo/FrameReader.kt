package dev.mobileseg.demo

import android.graphics.Bitmap
import android.graphics.Canvas
import android.graphics.Paint
import android.graphics.Rect

/**
 * A bitmap of the model's size, which the platform fills and whose memory is copied out whole: no loop over pixels.
 */
class FrameReader(
    width: Int,
    height: Int,
) {
    val bitmap: Bitmap = Bitmap.createBitmap(width, height, Bitmap.Config.ARGB_8888)
    private val canvas = Canvas(bitmap)
    private val all = Rect(0, 0, width, height)
    private val bilinear = Paint(Paint.FILTER_BITMAP_FLAG)

    /** Stretches a picture to the model's size. */
    fun draw(picture: Bitmap) = canvas.drawBitmap(picture, null, all, bilinear)

    /** @param rgba gets one word per pixel, its bytes R, G, B, A */
    fun read(rgba: IntArray) = BitmapWords.read(bitmap, rgba)
}
