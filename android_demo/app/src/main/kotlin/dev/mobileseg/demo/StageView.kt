package dev.mobileseg.demo

import android.content.Context
import android.graphics.Bitmap
import android.graphics.Canvas
import android.graphics.Paint
import android.graphics.Rect
import android.util.AttributeSet
import android.view.View
import dev.mobileseg.core.Mask

private const val NANOS = 1e6f
private const val OPAQUE = 255

/** The picture, unless the camera's preview lies below, and the mask over it. The canvas blends and stretches. */
class StageView(
    context: Context,
    attributes: AttributeSet?,
) : View(context, attributes) {
    private val box = Rect()
    private val plain = Paint(Paint.FILTER_BITMAP_FLAG)
    private val blended = Paint(Paint.FILTER_BITMAP_FLAG)
    private var mask: Bitmap? = null
    private var lastDraw = 0f

    /** Null while the camera runs. */
    var picture: Bitmap? = null
        set(value) {
            field = value
            mask = null
            invalidate()
        }

    /** How strong the colours are, 0 to 1. */
    var opacity = 1f
        set(value) {
            field = value
            blended.alpha = (OPAQUE * value).toInt()
            invalidate()
        }

    /** @return milliseconds: copying the mask now, and drawing the last one */
    fun show(shown: Mask): Float {
        val begun = System.nanoTime()
        val same = mask?.takeIf { it.width == shown.width && it.height == shown.height }
        val bitmap = same ?: Bitmap.createBitmap(shown.width, shown.height, Bitmap.Config.ARGB_8888)
        BitmapWords.write(shown.pixels, bitmap)
        mask = bitmap
        invalidate()
        return (System.nanoTime() - begun) / NANOS + lastDraw
    }

    fun clearMask() {
        mask = null
        invalidate()
    }

    override fun onDraw(canvas: Canvas) {
        val begun = System.nanoTime()
        box.set(0, 0, width, height)
        picture?.let { canvas.drawBitmap(it, null, box, plain) }
        mask?.let { canvas.drawBitmap(it, null, box, blended) }
        lastDraw = (System.nanoTime() - begun) / NANOS
    }
}
