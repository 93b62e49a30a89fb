package dev.mobileseg.demo

import android.content.Context
import android.util.AttributeSet
import android.view.Gravity
import android.view.View
import android.widget.FrameLayout

/** Gives its children the largest box of the picture's shape that fits, in the middle. */
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
        val height = MeasureSpec.getSize(heightMeasureSpec)
        setMeasuredDimension(width, height)
        val wide = minOf(width, (height * ratio).toInt())
        val high = minOf(height, (width / ratio).toInt())
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
