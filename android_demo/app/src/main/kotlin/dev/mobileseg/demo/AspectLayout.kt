package dev.mobileseg.demo

import android.content.Context
import android.util.AttributeSet
import android.view.Gravity
import android.view.View
import android.widget.FrameLayout

/** The panel below needs room, too. */
private const val MOST = 0.6f

/** A box of the picture's shape, as wide as the screen or as high as a share of it allows. */
class AspectLayout(
    context: Context,
    attributes: AttributeSet?,
) : FrameLayout(context, attributes) {
    /** Width over height. */
    var ratio = 1f
        set(value) {
            if (value == field) return
            field = value
            requestLayout()
        }

    override fun onMeasure(
        widthMeasureSpec: Int,
        heightMeasureSpec: Int,
    ) {
        val width = MeasureSpec.getSize(widthMeasureSpec)
        val most = (MeasureSpec.getSize(heightMeasureSpec) * MOST).toInt()
        val high = minOf(most, (width / ratio).toInt())
        val wide = minOf(width, (high * ratio).toInt())
        setMeasuredDimension(width, high)
        for (index in 0 until childCount) measureExactly(getChildAt(index), wide, high)
    }

    private fun measureExactly(
        child: View,
        width: Int,
        height: Int,
    ) {
        (child.layoutParams as LayoutParams).gravity = Gravity.CENTER
        child.measure(
            MeasureSpec.makeMeasureSpec(width, MeasureSpec.EXACTLY),
            MeasureSpec.makeMeasureSpec(height, MeasureSpec.EXACTLY),
        )
    }
}
